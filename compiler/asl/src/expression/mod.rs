//! What stands in the fields of a state and is computed when it runs: paths, intrinsic functions, payload
//! templates, the rules of a Choice, JSONata. Everything is compiled once, when the machine is loaded.

pub mod choice;
mod error;
pub mod intrinsic;
pub mod jsonata;
pub mod path;
pub mod result_path;
pub mod template;
pub mod timestamp;

pub use choice::Rule;
pub use error::{EvaluationError, SyntaxError};
pub use intrinsic::Call;
pub use jsonata::Jsonata;
pub use path::Path;
pub use result_path::ReferencePath;
pub use template::{Query, Template};

use serde_json::Value;
use std::borrow::Cow;

/// What an expression can reach besides the state's input.
pub trait Scope {
    /// The value of a variable, from this scope or one around it.
    fn variable(&self, name: &str) -> Option<&Value>;

    /// The time, in milliseconds since 1970, for JSONata's `$now` and `$millis`.
    fn now(&self) -> i64;

    /// A part of the context object: the one under the longest prefix of `names` that the scope has at hand, and
    /// how many of the names that uses up. Lets `$$.Map.Item.Value` be read without building the whole object.
    fn context<'a>(&'a self, names: &[String]) -> (Cow<'a, Value>, usize);

    /// The next of a sequence of random numbers, for States.MathRandom and States.UUID.
    fn random(&self) -> u64;
}

/// A scope with nothing in it, for constants and tests. Its random numbers are not.
#[derive(Debug, Clone, Copy, Default)]
pub struct EmptyScope;

impl Scope for EmptyScope {
    fn variable(&self, _: &str) -> Option<&Value> {
        None
    }
    fn now(&self) -> i64 {
        0
    }
    fn context<'a>(&'a self, _: &[String]) -> (Cow<'a, Value>, usize) {
        (Cow::Owned(Value::Object(serde_json::Map::new())), 0)
    }
    fn random(&self) -> u64 {
        0x9E37_79B9_7F4A_7C15
    }
}

/// Whether two JSON values are the same; numbers by value, so that `1` equals `1.0`.
#[must_use]
pub fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left == right || left.as_f64() == right.as_f64(),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(key, left)| right.get(key).is_some_and(|right| same(left, right)))
        }
        _ => left == right,
    }
}
