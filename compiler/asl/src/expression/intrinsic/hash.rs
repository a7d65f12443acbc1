//! States.Hash.

use super::text;
use crate::expression::Scope;
use serde_json::Value;
use sha2::Digest;
use std::fmt::Write as _;

/// AWS: "up to 10,000 characters".
const MAX_CHARACTERS: usize = 10_000;

#[expect(clippy::needless_pass_by_value, reason = "one signature for all functions")]
pub(super) fn hash(arguments: Vec<Value>, _: &dyn Scope) -> Result<Value, String> {
    let [data, algorithm] = &arguments[..] else { return Err("two arguments are needed".into()) };
    let data = text(data, "the data")?;
    if data.chars().count() > MAX_CHARACTERS {
        return Err(format!("the data has more than {MAX_CHARACTERS} characters"));
    }
    let digest = match text(algorithm, "the algorithm")? {
        "MD5" => md5::Md5::digest(data).to_vec(),
        "SHA-1" => sha1::Sha1::digest(data).to_vec(),
        "SHA-256" => sha2::Sha256::digest(data).to_vec(),
        "SHA-384" => sha2::Sha384::digest(data).to_vec(),
        "SHA-512" => sha2::Sha512::digest(data).to_vec(),
        other => return Err(format!("{other:?} is not one of MD5, SHA-1, SHA-256, SHA-384, SHA-512")),
    };
    let mut hex = String::with_capacity(digest.len() * 2);
    for byte in digest {
        // Writing into a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    Ok(Value::String(hex))
}
