//! Private keys of peers, where they sign what they publish: parameters of Systems Manager, one for each peer. What they hold is
//! in no bundle; that is put by `deploy`, and read by those functions that sign.
//!
//! Sources: AWS Systems Manager User Guide, "Restricting decryption of SecureString parameter values" (the account's own key,
//! `aws/ssm`, lets every principal of the account decrypt what it may read) and "About requirements and constraints for parameter
//! names"; its pricing page: standard parameters and calls for them cost nothing, where a secret of Secrets Manager costs by the
//! month, and cannot be made again under its name until its removal is through.

use super::{Context, names};
use serde::{Deserialize, Serialize};
use stepgrad_contract::keys::private_key;

/// A peer's private key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyResource {
    /// The parameter's name.
    pub name: String,
    /// What it is for, e.g. `keys/peer-0001`.
    pub part: String,
    /// The file of the key, in the folder that `keys generate` wrote.
    pub file: String,
    /// The public key that belongs to it, of which the spec has a list.
    pub public_key: String,
    /// The ARN of the key of KMS with which it is encrypted; the account's own for parameters if it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key: Option<String>,
}

pub(super) fn resources(context: &Context<'_>) -> Vec<KeyResource> {
    let public = context.training.public_keys.iter().flatten();
    let make = |(peer, public): (u32, &stepgrad_contract::signing::PublicKey)| {
        let file = private_key(peer);
        KeyResource {
            name: format!("{}/{file}", names::keys(context.prefix)),
            part: format!("keys/{}", file.trim_end_matches(".key")),
            file,
            public_key: public.to_string(),
            kms_key: context.aws.kms_key.as_ref().map(|key| key.value.clone()),
        }
    };
    (1..).zip(public).map(make).collect()
}
