//! The JSON Schema of a spec, made from the types that it is read into.

use super::Spec;
use super::decode::{Bound, Interval};
use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};
use std::sync::LazyLock;

/// The JSON Schema (draft 2020-12) that every accepted spec fits. What it cannot say (such as that a quorum is
/// no larger than the number of peers) only [`super::parse`] checks.
#[must_use]
pub fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = SchemaGenerator::new(settings).into_root_schema_for::<Spec>();
    RecursiveTransform(plain as fn(&mut Schema)).transform(&mut schema);
    // What a reader looks for first stands first.
    let mut object = match schema.to_value() {
        Value::Object(object) => object,
        other => return other,
    };
    let mut ordered = Map::new();
    for key in ["$schema", "title", "description", "type", "required"] {
        if let Some(value) = object.shift_remove(key) {
            ordered.insert(key.to_owned(), value);
        }
    }
    ordered.append(&mut object);
    Value::Object(ordered)
}

/// Without nulls, and each description on one line.
fn plain(schema: &mut Schema) {
    without_null(schema);
    if let Some(Value::String(text)) = schema.get_mut("description") {
        *text = text.replace('\n', " ");
    }
}

/// An optional key is left out, never null.
fn without_null(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else {
        return;
    };
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".to_owned(), only);
        }
    }
    let Some(Value::Array(options)) = object.get_mut("anyOf") else {
        return;
    };
    options.retain(|option| *option != json!({"type": "null"}));
    if let [Value::Object(only)] = options.as_slice() {
        let only: Map<String, Value> = only.clone();
        object.remove("anyOf");
        for (key, value) in only {
            // The description of the key says more than that of its type.
            if !object.contains_key(&key) {
                object.insert(key, value);
            }
        }
    }
}

/// The paths at which `key` is known, for "that key belongs at …".
pub(super) fn homes(key: &str) -> Vec<String> {
    let last = |path: &str| path.rsplit('.').next() == Some(key);
    let mut found: Vec<String> = PATHS.iter().filter(|path| last(path)).cloned().collect();
    found.truncate(3);
    found
}

/// Every path of the schema.
static PATHS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut found = Vec::new();
    collect(&schema(), "", &mut found);
    found
});

fn collect(schema: &Value, path: &str, found: &mut Vec<String>) {
    if let Some(Value::Object(properties)) = schema.get("properties") {
        for (name, property) in properties {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            collect(property, &path, found);
            found.push(path);
        }
    }
    for list in ["anyOf", "oneOf", "allOf"] {
        if let Some(Value::Array(options)) = schema.get(list) {
            options.iter().for_each(|option| collect(option, path, found));
        }
    }
}

impl Transform for Interval {
    fn transform(&mut self, schema: &mut Schema) {
        match self.low {
            Bound::Open => None,
            Bound::Included(low) => schema.insert("minimum".to_owned(), json!(low)),
            Bound::Excluded(low) => schema.insert("exclusiveMinimum".to_owned(), json!(low)),
        };
        match self.high {
            Bound::Open => None,
            Bound::Included(high) => schema.insert("maximum".to_owned(), json!(high)),
            Bound::Excluded(high) => schema.insert("exclusiveMaximum".to_owned(), json!(high)),
        };
    }
}
