//! The intrinsic functions (AWS: "Intrinsic functions for JSONPath states in Step Functions"). [`FUNCTIONS`] is the
//! whole list; the functions themselves stand in this folder by what they work on.

mod array;
mod encoding;
mod hash;
mod json;
mod math;
mod parse;
mod string;
mod unique;

pub(super) use math::mixed;
pub(super) use unique::uuid_from;

use super::{EmptyScope, EvaluationError, Path, Scope};
use serde_json::Value;

/// One function: its name, how many arguments it takes, and what it does.
#[derive(Clone, Copy)]
pub struct Function {
    /// With its prefix `States.`.
    pub name: &'static str,
    /// At the least.
    pub min_arguments: usize,
    /// At the most.
    pub max_arguments: usize,
    run: fn(Vec<Value>, &dyn Scope) -> Result<Value, String>,
}

impl std::fmt::Debug for Function {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name)
    }
}

const fn function(
    name: &'static str,
    min_arguments: usize,
    max_arguments: usize,
    run: fn(Vec<Value>, &dyn Scope) -> Result<Value, String>,
) -> Function {
    Function { name, min_arguments, max_arguments, run }
}

/// All functions.
pub const FUNCTIONS: &[Function] = &[
    function("States.Array", 0, usize::MAX, array::array),
    function("States.ArrayPartition", 2, 2, array::partition),
    function("States.ArrayContains", 2, 2, array::contains),
    function("States.ArrayRange", 3, 3, array::range),
    function("States.ArrayGetItem", 2, 2, array::get_item),
    function("States.ArrayLength", 1, 1, array::length),
    function("States.ArrayUnique", 1, 1, array::unique),
    function("States.Base64Encode", 1, 1, encoding::encode),
    function("States.Base64Decode", 1, 1, encoding::decode),
    function("States.Hash", 2, 2, hash::hash),
    function("States.JsonMerge", 3, 3, json::merge),
    function("States.StringToJson", 1, 1, json::from_string),
    function("States.JsonToString", 1, 1, json::to_string),
    function("States.MathRandom", 2, 3, math::random),
    function("States.MathAdd", 2, 2, math::add),
    function("States.StringSplit", 2, 2, string::split),
    function("States.UUID", 0, 0, unique::uuid),
    function("States.Format", 1, usize::MAX, string::format),
];

/// A compiled call.
#[derive(Debug, Clone)]
pub struct Call {
    text: String,
    function: &'static Function,
    arguments: Vec<Argument>,
}

#[derive(Debug, Clone)]
enum Argument {
    Literal(Value),
    Path(Path),
    Call(Box<Call>),
}

impl Call {
    /// As written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The call's value.
    ///
    /// # Errors
    /// [`EvaluationError::Intrinsic`] where the function refuses its arguments, and those of paths.
    pub fn evaluate(&self, input: &Value, scope: &dyn Scope) -> Result<Value, EvaluationError> {
        let mut arguments = Vec::with_capacity(self.arguments.len());
        for argument in &self.arguments {
            arguments.push(match argument {
                Argument::Literal(value) => value.clone(),
                Argument::Path(path) => path.evaluate(input, scope)?.into_owned(),
                Argument::Call(call) => call.evaluate(input, scope)?,
            });
        }
        (self.function.run)(arguments, scope)
            .map_err(|message| EvaluationError::Intrinsic { function: self.function.name, message })
    }

    /// The paths among the arguments, nested ones included.
    pub fn paths(&self) -> Vec<&Path> {
        self.arguments
            .iter()
            .flat_map(|argument| match argument {
                Argument::Literal(_) => Vec::new(),
                Argument::Path(path) => vec![path],
                Argument::Call(call) => call.paths(),
            })
            .collect()
    }
}

/// The value of the pure function `name`.
pub(super) fn apply(name: &str, arguments: Vec<Value>) -> Result<Value, String> {
    match FUNCTIONS.iter().find(|function| function.name == name) {
        Some(function) if (function.min_arguments..=function.max_arguments).contains(&arguments.len()) => {
            (function.run)(arguments, &EmptyScope)
        }
        Some(_) => Err(format!("{} arguments are too few or too many", arguments.len())),
        None => Err(format!("{name} is not a function")),
    }
}

/// An integer argument; `3.0` is one.
#[expect(clippy::cast_possible_truncation, reason = "checked: a whole number within i64")]
fn integer(value: &Value, what: &str) -> Result<i64, String> {
    value
        .as_i64()
        .or_else(|| {
            value
                .as_f64()
                .filter(|number| number.fract() == 0.0 && number.abs() < 9e18)
                .map(|number| number as i64)
        })
        .ok_or_else(|| format!("{what} has to be an integer, not {value}"))
}

fn list<'a>(value: &'a Value, what: &str) -> Result<&'a Vec<Value>, String> {
    value.as_array().ok_or_else(|| format!("{what} has to be an array, not {value}"))
}

fn text<'a>(value: &'a Value, what: &str) -> Result<&'a str, String> {
    value.as_str().ok_or_else(|| format!("{what} has to be a string, not {value}"))
}

#[cfg(test)]
mod tests;
