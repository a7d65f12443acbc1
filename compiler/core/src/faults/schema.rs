//! The JSON Schema of fault files, for editors, from the same tables as the reader.

use super::actions::{ACTIONS, Field, Kind, Presence};
use super::coordinates::{ATTEMPT, BATCH, CHANNELS, EPOCH, Numbers, OPERATIONS, OWNER, PEER, ROUND};
use super::expect::{KEYS, RunStatus};
use crate::spec::decode::{Bound, Interval};
use serde_json::{Map, Value, json};
use stepgrad_contract::Function;
use stepgrad_contract::faults::ObjectKind;

/// The JSON Schema (draft 2020-12) that every accepted fault file fits. What it cannot say, such as which action knows
/// which coordinate, only [`super::parse`] and [`super::resolve`] check.
#[must_use]
pub fn schema() -> Value {
    let mut fault = Map::new();
    let id = json!({"type": "string", "pattern": "^[a-z][a-z0-9_-]{0,63}$",
        "description": "Its name in the history and in `expect`."});
    fault.insert("id".to_owned(), id);
    fault.insert("at".to_owned(), at());
    for key in ["start_after", "startAfter"] {
        let after = json!({"type": "string",
            "description": "The fault after whose last round this one starts."});
        fault.insert(key.to_owned(), after);
    }
    let one_action: Vec<Value> = ACTIONS.iter().map(|action| json!({"required": [action.name]})).collect();
    for action in ACTIONS {
        fault.insert(action.name.to_owned(), of_action(action.doc, action.fields));
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "stepgrad fault file",
        "description": "What goes wrong where in a rerun of a training, and what is expected of it all the same.",
        "type": "object",
        "required": ["version", "faults"],
        "additionalProperties": false,
        "properties": {
            "version": {"const": super::VERSION, "description": "The version of this format: 1."},
            "seed": {"type": "integer", "minimum": 0, "maximum": u64::MAX,
                "description": "Where the draws start; the run's seed if it is not given."},
            "faults": {
                "description": "In this order: at each place the first match wins.",
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["id"],
                    "additionalProperties": false,
                    "properties": fault,
                    "oneOf": one_action,
                },
            },
            "expect": expect(),
        },
    })
}

fn of_action(doc: &str, fields: &[Field]) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for field in fields {
        let mut schema = of_field(field.kind);
        if let Some(schema) = schema.as_object_mut() {
            schema.insert("description".to_owned(), json!(field.doc));
            if let Presence::Default(default) = field.presence {
                schema.insert("default".to_owned(), default.json());
            }
        }
        if matches!(field.kind, Kind::Events) {
            properties.insert("event".to_owned(), schema.clone());
        } else if matches!(field.presence, Presence::Required) {
            required.push(field.name);
        }
        properties.insert(field.name.to_owned(), schema);
    }
    let mut schema = json!({"type": "object", "description": doc, "additionalProperties": false, "properties": properties});
    if let Some(object) = schema.as_object_mut() {
        if !required.is_empty() {
            object.insert("required".to_owned(), json!(required));
        }
        if fields.iter().any(|field| matches!(field.kind, Kind::Events)) {
            object.insert("oneOf".to_owned(), json!([{"required": ["events"]}, {"required": ["event"]}]));
        }
    }
    schema
}

fn of_field(kind: Kind) -> Value {
    match kind {
        Kind::Whole(first, last) => json!({"type": "integer", "minimum": first, "maximum": last}),
        Kind::Number(interval) => of_interval(interval),
        Kind::Boolean => json!({"type": "boolean"}),
        Kind::Text => json!({"type": "string", "minLength": 1, "maxLength": 256}),
        Kind::Names(names) => json!({"enum": names}),
        Kind::Groups => json!({"type": "array", "minItems": 2,
            "items": {"type": "array", "minItems": 1, "items": range(1)}}),
        Kind::Events => wanted(1),
    }
}

fn of_interval(interval: Interval) -> Value {
    let mut schema = json!({"type": "number"});
    if let (Bound::Excluded(low), Some(object)) = (interval.low, schema.as_object_mut()) {
        object.insert("exclusiveMinimum".to_owned(), json!(low));
    }
    schema
}

/// A number or a range.
fn range(first: u32) -> Value {
    json!({"anyOf": [
        {"type": "integer", "minimum": first, "maximum": u32::MAX - 1},
        {"type": "string", "pattern": r"^ *[0-9]+ *\.\.=?( *[0-9]+)? *$"},
    ]})
}

/// The numbers of a coordinate.
fn wanted(first: u32) -> Value {
    let share = |key: &str, last: u32| {
        let mut share = json!({"type": "object", "required": [key], "additionalProperties": false});
        share["properties"] = json!({key: {"type": "integer", "minimum": 1, "maximum": last}});
        share
    };
    json!({"anyOf": [
        {"type": "integer", "minimum": first, "maximum": u32::MAX - 1},
        {"type": "string", "pattern": r"^ *[0-9]+ *\.\.=?( *[0-9]+)? *$"},
        {"type": "array", "minItems": 1, "items": range(first)},
        share("percent", 100),
        share("count", 1_000_000),
        {"enum": ["one", "minority", "majority", "all"]},
    ]})
}

fn names(known: &[&str]) -> Value {
    json!({"anyOf": [{"enum": known}, {"type": "array", "minItems": 1, "items": {"enum": known}}]})
}

fn described(mut schema: Value, doc: &str) -> Value {
    if let Some(object) = schema.as_object_mut() {
        object.insert("description".to_owned(), json!(doc));
    }
    schema
}

fn at() -> Value {
    let mut properties = Map::new();
    let functions: Vec<_> = Function::ALL.iter().map(|function| function.name()).collect();
    let kinds: Vec<_> = ObjectKind::ALL.iter().map(|kind| kind.name()).collect();
    let mut both = |keys: [&str; 2], schema: Value| {
        for key in keys {
            properties.insert(key.to_owned(), schema.clone());
        }
    };
    both(["function", "functions"], described(names(&functions), "The functions."));
    for which in [&PEER, &ROUND, &EPOCH, &BATCH, &ATTEMPT, &OWNER] {
        let Numbers { key, plural, first, doc } = *which;
        both([key, plural], described(wanted(first), doc));
    }
    both(["object", "objects"], described(names(&kinds), "What the object is."));
    properties.insert(
        "operation".to_owned(),
        json!({"enum": OPERATIONS, "description": "Whether it is read or written."}),
    );
    properties.insert("channel".to_owned(), json!({"enum": CHANNELS, "description": "Where it travels."}));
    json!({"type": "object", "additionalProperties": false, "properties": properties,
        "description": "Where: what is left out is not asked for."})
}

fn expect() -> Value {
    let mut properties = Map::new();
    for (key, doc) in KEYS {
        let schema = match key {
            "status" => json!({"enum": RunStatus::ALL.map(|(name, _)| name), "default": "SUCCEEDED"}),
            "error" => json!({"type": "string"}),
            "same_weights_as" => json!({"enum": ["baseline"]}),
            "accuracy_within" | "accuracy_at_least" | "accuracy_at_most" => {
                json!({"type": "number", "minimum": 0, "maximum": 1})
            }
            "loss_at_most" | "max_extra_seconds" => json!({"type": "number", "minimum": 0}),
            "fired" => json!({"type": "object", "additionalProperties": range(0)}),
            "lost" => json!({"type": "object", "propertyNames": {"pattern": "^[0-9]+$"},
                "additionalProperties": {"anyOf": [range(1), {"type": "array", "items": range(1)}]}}),
            "replicas_equal" => json!({"type": "boolean"}),
            _ => json!({"type": "integer", "minimum": 0, "maximum": 1_000_000}),
        };
        properties.insert(key.to_owned(), described(schema, doc));
    }
    json!({"type": "object", "additionalProperties": false, "properties": properties,
        "description": "What the rerun has to come to; exit code 4 where it does not."})
}
