//! What is known of a bucket before anything is sent: its name, the client, the encryption.

use crate::aws;
use aws_sdk_s3::Config;
use aws_sdk_s3::config::{BehaviorVersion, Region};
use aws_sdk_s3::types::ServerSideEncryption;
use stepgrad_contract::{ErrorKind, FunctionError};

/// The variable that names the encryption of new objects, `AES256` or `aws:kms`; without it they have the bucket's own.
pub const SSE: &str = "STEPGRAD_SSE";
/// The variable that names the KMS key for `aws:kms`; without it, it is AWS's own for S3.
pub const SSE_KMS_KEY: &str = "STEPGRAD_SSE_KMS_KEY";

/// How new objects are encrypted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Encryption {
    pub(super) kind: Option<ServerSideEncryption>,
    pub(super) key: Option<String>,
}

#[derive(Debug)]
pub(super) struct Settings {
    pub(super) bucket: String,
    pub(super) prefix: String,
    pub(super) encryption: Encryption,
    pub(super) config: Config,
}

impl Settings {
    pub(super) fn new(root: &str, get: impl Fn(&str) -> Option<String>) -> Result<Self, FunctionError> {
        let (bucket, prefix) = place(root)?;
        let region = ["AWS_REGION", "AWS_DEFAULT_REGION"]
            .into_iter()
            .find_map(|name| get(name).filter(|value| !value.is_empty()));
        let region = region.ok_or_else(|| {
            invalid(format!("{root} is named and AWS_REGION is not set: set it to the bucket's region"))
        })?;
        let credentials = aws::credentials(root, &get)?;
        let endpoint = aws::endpoint("S3", &get)?;
        let get = |name: &str| get(name).filter(|value| !value.is_empty());
        let mut config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region))
            .credentials_provider(credentials)
            .http_client(aws::http())
            .retry_config(aws::retries())
            .timeout_config(aws::timeouts());
        if let Some(endpoint) = endpoint {
            // Another server need not have a name for each bucket.
            config = config.endpoint_url(endpoint).force_path_style(true);
        }
        let encryption = encryption(get(SSE).as_deref(), get(SSE_KMS_KEY))?;
        Ok(Self { bucket, prefix, encryption, config: config.build() })
    }
}

/// The bucket and what stands before its keys.
fn place(root: &str) -> Result<(String, String), FunctionError> {
    let rest = root.strip_prefix("s3://").unwrap_or(root);
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    // AWS page "General purpose bucket naming rules".
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-');
    if !(3..=63).contains(&bucket.len()) || !bucket.bytes().all(plain) {
        return Err(invalid(format!(
            "{bucket:?} in {root} is no name of a bucket: use s3://bucket/prefix, with 3 to 63 of a-z, 0-9, - and dots"
        )));
    }
    let prefix = object_store::path::Path::parse(prefix)
        .map_err(|error| invalid(format!("{root} holds no prefix of keys: {error}")))?;
    let prefix = match prefix.as_ref() {
        "" => String::new(),
        prefix => format!("{prefix}/"),
    };
    Ok((bucket.to_owned(), prefix))
}

fn encryption(kind: Option<&str>, key: Option<String>) -> Result<Encryption, FunctionError> {
    let kind = match kind {
        None => None,
        Some("AES256") => Some(ServerSideEncryption::Aes256),
        Some("aws:kms") => Some(ServerSideEncryption::AwsKms),
        Some(other) => return Err(invalid(format!("{SSE} is {other:?}: set it to AES256 or aws:kms"))),
    };
    if key.is_some() && kind != Some(ServerSideEncryption::AwsKms) {
        return Err(invalid(format!("{SSE_KMS_KEY} is for {SSE}=aws:kms: set that, or remove the key")));
    }
    Ok(Encryption { kind, key })
}

fn invalid(message: String) -> FunctionError {
    FunctionError::new(ErrorKind::InvalidEvent, message)
}

#[cfg(test)]
mod tests {
    use super::{Settings, place};

    fn settings(root: &str, variables: &[(&str, &str)]) -> Result<Settings, String> {
        let get =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Settings::new(root, get).map_err(|error| error.message)
    }

    const OWN: [(&str, &str); 3] =
        [("AWS_REGION", "eu-west-1"), ("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "secret")];

    #[test]
    fn the_root_is_a_bucket_and_a_prefix() {
        assert_eq!(place("s3://runs").unwrap(), ("runs".to_owned(), String::new()));
        assert_eq!(place("s3://my.runs/a/b/").unwrap(), ("my.runs".to_owned(), "a/b/".to_owned()));
        for wrong in ["s3://", "s3:///x", "s3://Upper", "s3://under_score/x", "s3://bucket/../x"] {
            assert!(place(wrong).unwrap_err().message.contains(wrong), "{wrong}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        assert!(settings("s3://runs", &OWN[1..]).unwrap_err().contains("AWS_REGION is not set"));
        assert!(settings("s3://runs", &OWN[..2]).unwrap_err().contains("AWS_SECRET_ACCESS_KEY"));
        let with = |more: &[(&'static str, &'static str)]| settings("s3://runs", &[&OWN, more].concat());
        assert!(with(&[("AWS_ENDPOINT_URL", "localhost")]).unwrap_err().contains("is no URL"));
        assert!(with(&[("STEPGRAD_SSE", "aes")]).unwrap_err().contains("AES256 or aws:kms"));
        assert!(with(&[("STEPGRAD_SSE_KMS_KEY", "k")]).unwrap_err().contains("STEPGRAD_SSE=aws:kms"));
        let kms = with(&[("STEPGRAD_SSE", "aws:kms"), ("STEPGRAD_SSE_KMS_KEY", "k")]).unwrap();
        assert_eq!(kms.encryption.key.as_deref(), Some("k"));
    }
}
