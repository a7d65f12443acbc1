//! The value of a path.

use super::{Found, Path, Root, Step};
use crate::expression::error::shortened;
use crate::expression::{EvaluationError, Scope};
use serde_json::Value;
use std::borrow::Cow;

impl Path {
    /// The path's value: of a definite path the one value, of any other the list of those found.
    ///
    /// # Errors
    /// [`EvaluationError::PathNotFound`] where a definite path leads nowhere, [`EvaluationError::VariableNotFound`].
    pub fn evaluate<'a>(&self, input: &'a Value, scope: &'a dyn Scope) -> Result<Found<'a>, EvaluationError> {
        match self.find(input, scope)? {
            Some(found) => Ok(found),
            None => Err(EvaluationError::PathNotFound { path: self.text.clone(), input: shortened(input) }),
        }
    }

    /// As [`Path::evaluate`], with `None` where a definite path leads nowhere.
    ///
    /// # Errors
    /// [`EvaluationError::VariableNotFound`].
    pub fn find<'a>(
        &self,
        input: &'a Value,
        scope: &'a dyn Scope,
    ) -> Result<Option<Found<'a>>, EvaluationError> {
        let (root, steps): (Found<'a>, &[Step]) = match &self.root {
            Root::Input => (Cow::Borrowed(input), &self.steps),
            Root::Context => {
                let (part, used) = scope.context(&self.names);
                (part, self.steps.get(used..).unwrap_or_default())
            }
            Root::Variable(name) => match scope.variable(name) {
                Some(value) => (Cow::Borrowed(value), &self.steps),
                None => return Err(EvaluationError::VariableNotFound(name.clone())),
            },
        };
        if steps.is_empty() {
            return Ok(Some(root));
        }
        Ok(match root {
            Cow::Borrowed(root) => walk(root, steps, self.definite),
            Cow::Owned(root) => walk(&root, steps, self.definite).map(|found| Cow::Owned(found.into_owned())),
        })
    }
}

fn walk<'a>(root: &'a Value, steps: &[Step], definite: bool) -> Option<Found<'a>> {
    if definite {
        steps.iter().try_fold(root, one).map(Cow::Borrowed)
    } else {
        let mut found = Vec::new();
        many(root, steps, &mut found);
        Some(Cow::Owned(Value::Array(found.into_iter().cloned().collect())))
    }
}

fn one<'a>(value: &'a Value, step: &Step) -> Option<&'a Value> {
    match step {
        Step::Name(name) => value.as_object()?.get(name),
        Step::Index(index) => {
            let items = value.as_array()?;
            items.get(place(*index, items.len())?)
        }
        _ => None,
    }
}

/// A negative index counts from the end.
fn place(index: i64, length: usize) -> Option<usize> {
    match usize::try_from(index) {
        Ok(index) => Some(index),
        Err(_) => length.checked_sub(usize::try_from(index.unsigned_abs()).ok()?),
    }
}

fn many<'a>(value: &'a Value, steps: &[Step], found: &mut Vec<&'a Value>) {
    let Some((step, rest)) = steps.split_first() else {
        found.push(value);
        return;
    };
    match step {
        Step::Name(_) | Step::Index(_) => {
            if let Some(value) = one(value, step) {
                many(value, rest, found);
            }
        }
        Step::Wildcard => {
            for child in children(value) {
                many(child, rest, found);
            }
        }
        Step::Slice { start, end, step } => {
            let Some(items) = value.as_array() else { return };
            let bound = |bound: i64| match usize::try_from(bound) {
                Ok(bound) => bound.min(items.len()),
                Err(_) => place(bound, items.len()).unwrap_or(0),
            };
            let start = start.map_or(0, bound);
            let end = end.map_or(items.len(), bound);
            let step = usize::try_from(*step).unwrap_or(1).max(1);
            for item in items.get(start..end).unwrap_or_default().iter().step_by(step) {
                many(item, rest, found);
            }
        }
        Step::Names(names) => {
            for child in names.iter().filter_map(|name| value.as_object()?.get(name)) {
                many(child, rest, found);
            }
        }
        Step::Indices(indices) => {
            let Some(items) = value.as_array() else { return };
            for index in indices {
                if let Some(item) = place(*index, items.len()).and_then(|index| items.get(index)) {
                    many(item, rest, found);
                }
            }
        }
        Step::Filter(query) => {
            for child in query.query(value).all() {
                many(child, rest, found);
            }
        }
        Step::Descend => descend(value, rest, found),
    }
}

/// The value and everything inside it, outermost first. The reader bounds the depth.
fn descend<'a>(value: &'a Value, rest: &[Step], found: &mut Vec<&'a Value>) {
    many(value, rest, found);
    for child in children(value) {
        descend(child, rest, found);
    }
}

fn children(value: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match value {
        Value::Array(items) => Box::new(items.iter()),
        Value::Object(members) => Box::new(members.values()),
        _ => Box::new(std::iter::empty()),
    }
}

#[cfg(test)]
mod tests {
    use crate::expression::{EmptyScope, Path};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn value(path: &str, input: &Value) -> Option<Value> {
        Path::parse(path).unwrap().find(input, &EmptyScope).unwrap().map(std::borrow::Cow::into_owned)
    }

    #[test]
    fn definite_paths_have_one_value_or_none() {
        let input = json!({"a": [{"b-c": 1}, 2], "d e": {"": 3}});
        assert_eq!(value("$", &input), Some(input.clone()));
        assert_eq!(value("$.a[0].b-c", &input), Some(json!(1)));
        assert_eq!(value("$['a'][-1]", &input), Some(json!(2)));
        assert_eq!(value("$[\"d e\"]['']", &input), Some(json!(3)));
        assert_eq!(value("$.a[7]", &input), None);
        assert_eq!(value("$.a.b", &input), None);
    }

    #[test]
    fn indefinite_paths_have_a_list() {
        let input = json!({"a": [0, 10, 20, 30], "u": [{"s": 0, "n": "x"}, {"s": 1}]});
        assert_eq!(value("$.a[-3:]", &input), Some(json!([10, 20, 30])));
        assert_eq!(value("$.a[0,1]", &input), Some(json!([0, 10])));
        assert_eq!(value("$.a[::2]", &input), Some(json!([0, 20])));
        assert_eq!(value("$.u[?(@.s == 0)].n", &input), Some(json!(["x"])));
        assert_eq!(value("$..s", &input), Some(json!([0, 1])));
        assert_eq!(value("$.missing.items[1:5].x", &input), Some(json!([])));
        assert_eq!(value("$.missing[*]", &input), Some(json!([])));
    }

    #[test]
    fn refuses_what_is_no_path() {
        for bad in
            ["", "a", "$.", "$[", "$['a", "$[a]", "$.a b", "$..", "$.a[?(]", "$.a[1", "$1", "$.a.length()"]
        {
            assert!(Path::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\$[\\[\\]'\"a-c.*?@,:0-9$=() \\\\-]{0,24}") {
            if let Ok(path) = Path::parse(&text) {
                let _ = path.find(&json!({"a": [1, {"b": [2, 3]}], "c": "d"}), &EmptyScope);
            }
        }
    }
}
