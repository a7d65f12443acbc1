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

/// What is in a document. It is whole if it has the very bytes that [`seal`] gives: white space too, as whoever makes it
/// again would otherwise find an intact document with other bytes.
///
/// # Errors
/// What is wrong with it, in words.
pub(super) fn open(bytes: &Bytes) -> Result<Value, String> {
    let not_whole = |error: serde_json::Error| format!("is not whole: {error}");
    let mut value: Value = serde_json::from_slice(bytes).map_err(not_whole)?;
    if let Some(object) = value.as_object_mut() {
        object.shift_remove(CHECKSUM);
    }
    if seal(&value).map_err(not_whole)? == *bytes {
        Ok(value)
    } else {
        Err("has not the checksum that stands in it, or is written in another way".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::{open, seal};
    use serde_json::json;

    #[test]
    fn any_changed_bit_and_any_cut_is_noticed() {
        let value = json!({"round": 3, "loss": 0.1 + 0.2, "members": [1, 2], "rate": 1e-7, "stop": null});
        let whole = seal(&value).unwrap();
        assert_eq!(open(&whole), Ok(value));
        for bit in 0..8 * whole.len() {
            let mut bytes = whole.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&bytes.into()).is_err(), "bit {bit}");
        }
        assert!((0..whole.len()).all(|length| open(&whole.slice(..length)).is_err()));
        assert!(open(&[&whole[..], b"\n"].concat().into()).is_err() && seal(&7).is_err());
    }
}
