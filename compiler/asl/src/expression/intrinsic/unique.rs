//! States.UUID.

use crate::expression::Scope;
use serde_json::Value;

/// A version 4 UUID (RFC 9562) from the scope's random numbers.
pub(super) fn uuid(_: Vec<Value>, scope: &dyn Scope) -> Result<Value, String> {
    Ok(Value::String(uuid_from(scope.random(), scope.random())))
}

/// The text of the version 4 UUID with these random bits.
pub(crate) fn uuid_from(high: u64, low: u64) -> String {
    let high = (high & !0xF000) | 0x4000;
    let low = (low & !(0b11 << 62)) | (0b10 << 62);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xFFFF,
        high & 0xFFFF,
        low >> 48,
        low & 0xFFFF_FFFF_FFFF
    )
}
