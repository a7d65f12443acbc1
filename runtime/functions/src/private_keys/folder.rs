//! A folder of key files, one for each peer.
#![expect(clippy::disallowed_methods, reason = "reads key files")]

use super::unavailable;
use std::path::PathBuf;
use stepgrad_contract::FunctionError;
use stepgrad_contract::signing::PrivateKey;

/// A folder of private keys.
#[derive(Debug, Clone)]
pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    /// The key of `peer`.
    ///
    /// # Errors
    /// [`ErrorKind::KeyUnavailable`] where it cannot be read, is none, or others than its owner could read it.
    pub(super) fn of(&self, peer: u32) -> Result<PrivateKey, FunctionError> {
        let path = self.0.join(stepgrad_contract::keys::private_key(peer));
        let shown = path.display();
        let cannot = |error: std::io::Error| {
            unavailable(format!(
                "cannot read the private key {shown}: {error}; `stepgrad keys generate` makes keys"
            ))
        };
        let metadata = std::fs::metadata(&path).map_err(cannot)?;
        if is_open(&metadata) {
            let message =
                format!("the private key {shown} can be read by others than its owner: chmod 600 it");
            return Err(unavailable(message));
        }
        let text = std::fs::read_to_string(&path).map_err(cannot)?;
        PrivateKey::from_text(&text)
            .map_err(|error| unavailable(format!("{shown} holds no private key: {error}")))
    }
}

#[cfg(unix)]
fn is_open(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o077 != 0
}

#[cfg(not(unix))]
fn is_open(_: &std::fs::Metadata) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::Folder;
    use std::os::unix::fs::PermissionsExt;
    use stepgrad_contract::ErrorKind;
    use stepgrad_contract::signing::PrivateKey;

    #[test]
    fn a_key_that_lies_open_is_refused_and_none_is_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Folder(folder.path().to_owned());
        let key = PrivateKey::from_bytes(&[7; 32]);
        let path = folder.path().join("peer-0003.key");
        let refused = |says: &str| {
            let error = keys.of(3).unwrap_err();
            assert_eq!(error.kind, ErrorKind::KeyUnavailable);
            assert!(error.message.contains(says) && error.message.contains("peer-0003.key"), "{error}");
            assert!(!error.message.contains("0707"), "{error}");
        };
        refused("cannot read");
        std::fs::write(&path, key.to_text()).unwrap();
        let mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        for open in [0o644, 0o640, 0o604, 0o602] {
            mode(open);
            refused("can be read by others");
        }
        mode(0o600);
        assert_eq!(keys.of(3).unwrap().public(), key.public());
        std::fs::write(&path, "0707").unwrap();
        refused("holds no private key");
    }
}
