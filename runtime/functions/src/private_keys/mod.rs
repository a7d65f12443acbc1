//! Where a function process finds the private keys of peers: where the environment says, in a folder or, on AWS, in parameters of
//! Systems Manager. Their content goes nowhere but into signatures: not into events, replies, errors or logs.

mod folder;
mod parameters;

use folder::Folder;
use parameters::Parameters;
use std::path::PathBuf;
use stepgrad_contract::signing::{FOLDER_VARIABLE, PrivateKey};
use stepgrad_contract::{ErrorKind, FunctionError};

/// The place of private keys.
#[derive(Debug, Clone)]
pub struct PrivateKeys(Place);

#[derive(Debug, Clone)]
enum Place {
    Folder(Folder),
    Parameters(Parameters),
}

impl PrivateKeys {
    /// The keys at `root`: `file:///folder`, or what the ARNs of parameters begin with
    /// (`arn:aws:ssm:region:account:parameter/path`), for which `get` gives the variables of a client of AWS. Nothing is read yet.
    ///
    /// # Errors
    /// [`ErrorKind::KeyUnavailable`] for another kind of place; [`ErrorKind::InvalidEvent`] where a variable is missing.
    pub fn at(root: &str, get: impl Fn(&str) -> Option<String>) -> Result<Self, FunctionError> {
        if let Some(folder) = root.strip_prefix("file://").filter(|folder| folder.starts_with('/')) {
            return Ok(Self(Place::Folder(Folder(PathBuf::from(folder)))));
        }
        match Parameters::at(root, get)? {
            Some(parameters) => Ok(Self(Place::Parameters(parameters))),
            None => Err(unavailable(format!(
                "{FOLDER_VARIABLE} names no place of keys: set it to file:///folder, or on AWS to arn:aws:ssm:REGION:ACCOUNT:parameter/PATH"
            ))),
        }
    }

    /// The key of `peer`.
    ///
    /// # Errors
    /// [`ErrorKind::KeyUnavailable`] where it cannot be read, is none, or others than its owner could read its file;
    /// [`ErrorKind::AccessDenied`] where the function's role may not read it.
    pub async fn of(&self, peer: u32) -> Result<PrivateKey, FunctionError> {
        match &self.0 {
            Place::Folder(folder) => folder.of(peer),
            Place::Parameters(parameters) => parameters.of(peer).await,
        }
    }
}

fn unavailable(message: String) -> FunctionError {
    FunctionError::new(ErrorKind::KeyUnavailable, message)
}

#[cfg(test)]
mod tests {
    use super::PrivateKeys;
    use stepgrad_contract::ErrorKind;

    #[test]
    fn a_place_is_a_folder_or_what_arns_of_parameters_begin_with() {
        let get =
            |name: &str| name.starts_with("AWS_").then(|| "x".to_owned()).filter(|_| !name.contains("URL"));
        for root in ["file:///folder", "arn:aws:ssm:eu-west-1:123456789012:parameter/stepgrad-a/keys"] {
            let _ = PrivateKeys::at(root, get).unwrap();
        }
        for root in [
            "",
            "/folder",
            "s3://bucket",
            "file://folder",
            "arn:aws:s3:::b/keys",
            "arn:aws:ssm:eu-west-1:1:document/a",
        ] {
            assert_eq!(PrivateKeys::at(root, get).unwrap_err().kind, ErrorKind::KeyUnavailable, "{root}");
        }
        let bare = PrivateKeys::at("arn:aws:ssm:eu-west-1:1:parameter/a", |_| None).unwrap_err();
        assert!(bare.message.contains("AWS_ACCESS_KEY_ID"), "{bare}");
    }
}
