//! Functions on numbers.

use super::integer;
use crate::expression::Scope;
use serde_json::Value;

#[expect(clippy::needless_pass_by_value, reason = "one signature for all functions")]
pub(super) fn add(arguments: Vec<Value>, _: &dyn Scope) -> Result<Value, String> {
    let [left, right] = &arguments[..] else { return Err("two arguments are needed".into()) };
    let sum = i128::from(rounded(left)?) + i128::from(rounded(right)?);
    i64::try_from(sum).map(Value::from).map_err(|_| format!("the sum {sum} is out of range"))
}

/// Half up, as recorded: 1.5 is 2, −1.5 is −1.
#[expect(clippy::cast_possible_truncation, reason = "checked: within i64")]
fn rounded(value: &Value) -> Result<i64, String> {
    if let Some(integer) = value.as_i64() {
        return Ok(integer);
    }
    let number = value.as_f64().ok_or_else(|| format!("{value} is not a number"))?;
    let whole = (number + 0.5).floor();
    if whole.abs() < 9e18 { Ok(whole as i64) } else { Err(format!("{value} is out of range")) }
}

#[expect(clippy::needless_pass_by_value, reason = "one signature for all functions")]
pub(super) fn random(arguments: Vec<Value>, scope: &dyn Scope) -> Result<Value, String> {
    let [start, end, seed @ ..] = &arguments[..] else { return Err("two arguments are needed".into()) };
    let (start, end) = (integer(start, "the start")?, integer(end, "the end")?);
    let width = i128::from(end) - i128::from(start);
    if width <= 0 {
        return Err("the end has to be greater than the start".into());
    }
    let draw = match seed {
        [] => scope.random(),
        [seed, ..] => mixed(integer(seed, "the seed")?.cast_unsigned()),
    };
    // The end is exclusive.
    let number = i128::from(start) + i128::from(draw) % width;
    i64::try_from(number).map(Value::from).map_err(|_| "out of range".into())
}

/// SplitMix64's output function (Steele, Lea, Flood 2014): one seed, one well-mixed number.
pub(crate) fn mixed(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
