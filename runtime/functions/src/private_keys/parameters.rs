//! Parameters of Systems Manager, one for each peer (AWS page "GetParameter"). A process reads each once: a key is listed in the
//! spec, so another one would be of no use.

use super::unavailable;
use crate::aws;
use aws_sdk_ssm::Client;
use aws_sdk_ssm::config::{BehaviorVersion, Region};
use aws_sdk_ssm::error::{DisplayErrorContext, ProvideErrorMetadata};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use stepgrad_contract::signing::PrivateKey;
use stepgrad_contract::{ErrorKind, FunctionError, keys};

/// Parameters below a path.
#[derive(Debug, Clone)]
pub(super) struct Parameters {
    client: Client,
    /// What their ARNs begin with.
    arn: String,
    /// What their names begin with.
    path: String,
    known: Arc<Mutex<BTreeMap<u32, PrivateKey>>>,
}

impl Parameters {
    /// Those whose ARNs begin with `arn`; `None` where that is no ARN of parameters.
    pub(super) fn at(arn: &str, get: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, FunctionError> {
        let mut parts = arn.splitn(6, ':');
        let (Some("arn"), Some(_), Some("ssm"), Some(region), Some(_), Some(resource)) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Ok(None);
        };
        let Some(path) = resource.strip_prefix("parameter").filter(|path| path.starts_with('/')) else {
            return Ok(None);
        };
        let mut config = aws_sdk_ssm::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region.to_owned()))
            .credentials_provider(aws::credentials(arn, &get)?)
            .http_client(aws::http())
            .retry_config(aws::retries())
            .timeout_config(aws::timeouts());
        if let Some(endpoint) = aws::endpoint("SSM", &get)? {
            config = config.endpoint_url(endpoint);
        }
        let client = Client::from_conf(config.build());
        Ok(Some(Self { client, arn: arn.to_owned(), path: path.to_owned(), known: Arc::default() }))
    }

    /// The key of `peer`.
    pub(super) async fn of(&self, peer: u32) -> Result<PrivateKey, FunctionError> {
        if let Some(known) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&peer) {
            return Ok(known.clone());
        }
        let file = keys::private_key(peer);
        let name = format!("{}/{file}", self.path);
        let answer = self.client.get_parameter().name(&name).with_decryption(true).send().await;
        let answer = answer.map_err(|error| {
            let code = error.as_service_error().and_then(ProvideErrorMetadata::code).unwrap_or("no answer");
            match code {
                "AccessDeniedException" => FunctionError::new(
                    ErrorKind::AccessDenied,
                    format!("cannot read the private key {name}: allow ssm:GetParameter on {}/{file}, and kms:Decrypt on the key that it is encrypted with, to the function's role", self.arn),
                ),
                "ParameterNotFound" => {
                    unavailable(format!("there is no private key {name}: `stepgrad deploy` puts it"))
                }
                // Neither the request nor what the service says of it has a key in it.
                _ => unavailable(format!(
                    "cannot read the private key {name}: {code}: {}",
                    DisplayErrorContext(&error).to_string().lines().next().unwrap_or_default()
                )),
            }
        })?;
        let text = answer.parameter().and_then(|parameter| parameter.value()).unwrap_or_default();
        let key = PrivateKey::from_text(text)
            .map_err(|error| unavailable(format!("the parameter {name} holds no private key: {error}")))?;
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(peer, key.clone());
        Ok(key)
    }
}
