//! Documents with a checksum in them: a flipped bit can leave JSON that is as good as before and says something else.

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use stepgrad_contract::digest::sha256;

/// The last key of a document.
const CHECKSUM: &str = "sha256";

/// The bytes of a document: an object with one more key, the digest of the object without it.
pub(super) fn seal(value: &impl Serialize) -> Result<Bytes, serde_json::Error> {
    let mut value = serde_json::to_value(value)?;
    let digest = sha256(&serde_json::to_vec(&value)?);
    match value.as_object_mut() {
        Some(object) => drop(object.insert(CHECKSUM.to_owned(), digest.into())),
        None => return Err(serde::ser::Error::custom("a document is an object")),
    }
    let mut bytes = serde_json::to_vec(&value)?;
    bytes.push(b'\n');
    Ok(bytes.into())
}

/// What is in a document.
///
/// # Errors
/// What is wrong with it, in words.
pub(super) fn open(bytes: &Bytes) -> Result<Value, String> {
    let mut value: Value = serde_json::from_slice(bytes).map_err(|error| format!("is not whole: {error}"))?;
    let found = value.as_object_mut().and_then(|object| object.shift_remove(CHECKSUM));
    let body = serde_json::to_vec(&value).map_err(|error| format!("is not whole: {error}"))?;
    match found.as_ref().and_then(Value::as_str) {
        Some(found) if found == sha256(&body) => Ok(value),
        _ => Err("has not the checksum that stands in it".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::{open, seal};
    use serde_json::json;

    #[test]
    fn any_changed_bit_is_noticed() {
        let value = json!({"round": 3, "loss": 0.1 + 0.2, "members": [1, 2], "rate": 1e-7, "stop": null});
        let whole = seal(&value).unwrap();
        assert_eq!(open(&whole), Ok(value));
        for bit in 0..8 * (whole.len() - 1) {
            let mut bytes = whole.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            // A change of white space, or of a number to the same number, is none.
            if let Ok(found) = open(&bytes.into()) {
                assert_eq!(Ok(found), open(&whole), "bit {bit}");
            }
        }
        assert!(open(&whole.slice(..9)).is_err() && seal(&7).is_err());
    }
}
