//! Functions on arrays.

use super::{integer, list};
use crate::expression::{Scope, same};
use serde_json::Value;

/// AWS: "up to 1,000 elements".
const MAX_RANGE: usize = 1_000;

pub(super) fn array(arguments: Vec<Value>, _: &dyn Scope) -> Result<Value, String> {
    Ok(Value::Array(arguments))
}

#[expect(clippy::needless_pass_by_value, reason = "one signature for all functions")]
pub(super) fn partition(arguments: Vec<Value>, _: &dyn Scope) -> Result<Value, String> {
    let [array, size] = &arguments[..] else { return Err("two arguments are needed".into()) };
    let items = list(array, "the array")?;
    let size = usize::try_from(integer(size, "the chunk size")?)
        .ok()
        .filter(|size| *size > 0)
        .ok_or("the chunk size has to be at least 1")?;
    Ok(Value::Array(items.chunks(size).map(|chunk| Value::Array(chunk.to_vec())).collect()))
}

#[expect(clippy::needless_pass_by_value, reason = "one signature for all functions")]
pub(super) fn contains(arguments: Vec<Value>, _: &dyn Scope) -> Result<Value, String> {
    let [array, sought] = &arguments[..] else { return Err("two arguments are needed".into()) };
    Ok(Value::Bool(list(array, "the array")?.iter().any(|item| same(item, sought))))
}

#[expect(clippy::needless_pass_by_value, reason = "one signature for all functions")]
pub(super) fn range(arguments: Vec<Value>, _: &dyn Scope) -> Result<Value, String> {
    let [first, last, step] = &arguments[..] else { return Err("three arguments are needed".into()) };
    let (first, last) = (integer(first, "the first")?, integer(last, "the last")?);
    let step = integer(step, "the increment")?;
    if step == 0 {
        return Err("the increment must not be 0".into());
    }
    let mut items = Vec::new();
    let mut next = Some(first);
    while let Some(item) = next.filter(|item| if step > 0 { *item <= last } else { *item >= last }) {
        if items.len() == MAX_RANGE {
            return Err(format!("the range has more than {MAX_RANGE} elements"));
        }
        items.push(Value::from(item));
        next = item.checked_add(step);
    }
    Ok(Value::Array(items))
}

#[expect(clippy::needless_pass_by_value, reason = "one signature for all functions")]
pub(super) fn get_item(arguments: Vec<Value>, _: &dyn Scope) -> Result<Value, String> {
    let [array, index] = &arguments[..] else { return Err("two arguments are needed".into()) };
    let items = list(array, "the array")?;
    let index = integer(index, "the index")?;
    // Beyond the end there is null, as other engines have it too.
    let index = usize::try_from(index).map_err(|_| "the index must not be negative")?;
    Ok(items.get(index).cloned().unwrap_or(Value::Null))
}

#[expect(clippy::needless_pass_by_value, reason = "one signature for all functions")]
pub(super) fn length(arguments: Vec<Value>, _: &dyn Scope) -> Result<Value, String> {
    let [array] = &arguments[..] else { return Err("one argument is needed".into()) };
    Ok(Value::from(list(array, "the array")?.len()))
}

#[expect(clippy::needless_pass_by_value, reason = "one signature for all functions")]
pub(super) fn unique(arguments: Vec<Value>, _: &dyn Scope) -> Result<Value, String> {
    let [array] = &arguments[..] else { return Err("one argument is needed".into()) };
    let mut kept: Vec<Value> = Vec::new();
    for item in list(array, "the array")? {
        if !kept.iter().any(|other| same(other, item)) {
            kept.push(item.clone());
        }
    }
    Ok(Value::Array(kept))
}
