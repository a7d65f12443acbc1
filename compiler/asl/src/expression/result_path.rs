//! ResultPath: where a state's outcome goes in its raw input.

use super::error::shortened;
use super::path::ReferenceStep;
use super::{EvaluationError, Path, SyntaxError};
use serde_json::{Map, Value};

/// A path that names one place, which need not exist yet.
#[derive(Debug, Clone)]
pub struct ReferencePath(Path);

impl ReferencePath {
    /// Compiles a reference path: `$`, names and indices, nothing else.
    ///
    /// # Errors
    /// [`SyntaxError`] where `text` is no path, or not a reference path.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        let path = Path::parse(text)?;
        if path.is_reference() {
            Ok(Self(path))
        } else {
            Err(SyntaxError::new(format!(
                "{text:?} is not a reference path: it may have names and indices only, from $"
            )))
        }
    }

    /// Whether the whole input is replaced.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_input()
    }

    /// Puts `result` at the path's place in `input`; objects that are missing on the way are made.
    ///
    /// # Errors
    /// [`EvaluationError::ResultPath`] where something else than an object is in the way, or an index is beyond its
    /// array.
    pub fn write(&self, input: &mut Value, result: Value) -> Result<(), EvaluationError> {
        if let Some(place) = self.place(input) {
            *place = result;
            return Ok(());
        }
        Err(EvaluationError::ResultPath { step: self.0.text().to_owned(), input: shortened(input) })
    }

    fn place<'a>(&self, input: &'a mut Value) -> Option<&'a mut Value> {
        let mut place = input;
        for step in self.0.reference_steps() {
            place = match step {
                ReferenceStep::Name(name) => {
                    if place.is_null() {
                        *place = Value::Object(Map::new());
                    }
                    place.as_object_mut()?.entry(name).or_insert(Value::Null)
                }
                ReferenceStep::Index(index) => place.as_array_mut()?.get_mut(index)?,
            };
        }
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::ReferencePath;
    use serde_json::{Value, json};

    fn written(path: &str, mut input: Value, result: Value) -> Option<Value> {
        ReferencePath::parse(path).unwrap().write(&mut input, result).ok().map(|()| input)
    }

    #[test]
    fn writes_and_makes_what_is_missing() {
        assert_eq!(written("$.b.c", json!({"a": 1}), json!(2)), Some(json!({"a": 1, "b": {"c": 2}})));
        assert_eq!(written("$.a[1].x", json!({"a": [0, {}]}), json!(2)), Some(json!({"a": [0, {"x": 2}]})));
        assert_eq!(written("$", json!(1), json!(2)), Some(json!(2)));
        assert_eq!(written("$.a", json!("text"), json!(2)), None);
        assert_eq!(written("$.a[3]", json!({"a": []}), json!(2)), None);
        assert!(ReferencePath::parse("$.a[*]").is_err());
        assert!(ReferencePath::parse("$$.a").is_err());
    }
}
