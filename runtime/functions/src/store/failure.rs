//! What a failure of the folder of objects is told as.

use stepgrad_contract::{ErrorKind, FunctionError};

/// The error of trying to `action` the object or folder `key`.
pub(super) fn failed(
    action: &str,
    key: &impl std::fmt::Display,
    error: &object_store::Error,
) -> FunctionError {
    let message = match error {
        object_store::Error::NotFound { .. } if action == "read" => format!("object {key} is not there"),
        error => match disk_full(error) {
            true => format!(
                "cannot {action} object {key}: no space left on the store's disk; free some and try again"
            ),
            false => format!("cannot {action} object {key}: {error}"),
        },
    };
    let kind = match error {
        object_store::Error::NotFound { .. } => ErrorKind::ObjectMissing,
        _ => ErrorKind::ObjectUnavailable,
    };
    FunctionError::new(kind, message)
}

fn disk_full(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        if matches!(kind, Some(std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)) {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::failed;
    use std::io::{Error, ErrorKind};

    #[test]
    fn a_full_disk_is_named() {
        let full = object_store::Error::Generic {
            store: "LocalFileSystem",
            source: Box::new(Error::from(ErrorKind::StorageFull)),
        };
        assert!(failed("write", &"r/x", &full).message.contains("no space left"));
        let other = object_store::Error::Generic {
            store: "LocalFileSystem",
            source: Box::new(Error::from(ErrorKind::PermissionDenied)),
        };
        let error = failed("write", &"r/x", &other);
        assert!(error.message.contains("r/x") && error.message.contains("permission denied"), "{error}");
    }
}
