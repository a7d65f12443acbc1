//! ItemReader, ItemBatcher and ResultWriter, compiled; what of them is not built is refused by name.

use super::{Compiler, Here};
use crate::diagnostic::pointer_push;
use crate::document::{self, QueryLanguage, Setting};
use crate::expression::Template;
use crate::expression::jsonata::{JsonataTemplate, unwrapped};
use crate::program::objects::{Batcher, Csv, Format, Pointer, Reader, S3Action, Transformation, Writer};
use crate::program::{Amount, Selector};
use serde_json::Value;

const GET: &str = "arn:aws:states:::s3:getObject";
const LIST: &str = "arn:aws:states:::s3:listObjectsV2";
const PUT: &str = "arn:aws:states:::s3:putObject";

impl Compiler {
    /// What only a distributed Map can have.
    pub(super) fn refuse_inline(&mut self, map: &document::Map, here: &Here<'_>) {
        for (name, there) in [
            ("ItemReader", map.item_reader.is_some()),
            ("ItemBatcher", map.item_batcher.is_some()),
            ("ResultWriter", map.result_writer.is_some()),
        ] {
            if there {
                self.not_built(
                    here.field(name),
                    &format!("{name} of a Map whose ProcessorConfig has not the Mode DISTRIBUTED"),
                );
            }
        }
    }

    pub(super) fn reader(&mut self, map: &document::Map, here: &Here<'_>) -> Option<Reader> {
        let reader = map.item_reader.as_ref()?;
        let pointer = here.field("ItemReader");
        let empty = Value::Object(serde_json::Map::new());
        let config = reader.get("ReaderConfig").unwrap_or(&empty);
        let config_pointer = format!("{pointer}/ReaderConfig");
        let resource = reader.get("Resource").and_then(Value::as_str).unwrap_or_default();
        let input_type = config.get("InputType").and_then(Value::as_str);
        let flattened = match config.get("Transformation").and_then(Value::as_str) {
            None | Some("NONE") => false,
            Some("LOAD_AND_FLATTEN") if resource == LIST => true,
            Some(other) => {
                let what = format!("the Transformation {other} with {resource}");
                self.not_built(format!("{config_pointer}/Transformation"), &what);
                false
            }
        };
        let items_pointer = self.items_pointer(config, &config_pointer);
        let format = match (resource, input_type) {
            (LIST, None) if flattened => {
                self.fault(
                    config_pointer,
                    "LOAD_AND_FLATTEN needs the InputType of the objects: JSON, JSONL or CSV",
                );
                return None;
            }
            (LIST, None) => Format::Listing,
            (GET, Some("JSON")) => Format::Json(items_pointer),
            (GET, Some("JSONL")) => Format::JsonLines,
            (GET, Some("CSV")) => Format::Csv(self.csv(config, &config_pointer)),
            (LIST, Some("JSON")) if flattened => Format::Flattened(Box::new(Format::Json(items_pointer))),
            (LIST, Some("JSONL")) if flattened => Format::Flattened(Box::new(Format::JsonLines)),
            (LIST, Some("CSV")) if flattened => {
                Format::Flattened(Box::new(Format::Csv(self.csv(config, &config_pointer))))
            }
            (GET, Some("MANIFEST")) => {
                match config.get("ManifestType").and_then(Value::as_str) {
                    None | Some("S3_INVENTORY") => {}
                    Some(other) => self.not_built(format!("{config_pointer}/ManifestType"), other),
                }
                Format::Inventory
            }
            (GET, None) => {
                self.fault(config_pointer, "InputType says what the object is: JSON, JSONL, CSV or MANIFEST");
                return None;
            }
            (GET | LIST, Some(other)) => {
                let what = format!("the InputType {other} with {resource}");
                self.not_built(format!("{config_pointer}/InputType"), &what);
                return None;
            }
            _ => {
                self.not_built(format!("{pointer}/Resource"), &format!("the item reader {resource:?}"));
                return None;
            }
        };
        let (known, required) = format.arguments();
        let arguments = self.selector_of(reader, here, "ItemReader");
        self.names(reader, here, "ItemReader", known, required);
        let max_items = self.amount_of(config, here, "ItemReader/ReaderConfig", "MaxItems");
        Some(Reader { format, arguments, max_items })
    }

    /// Where in a JSON object the array is.
    fn items_pointer(&mut self, config: &Value, pointer: &str) -> Pointer {
        let Some(text) = config.get("ItemsPointer").and_then(Value::as_str) else { return Pointer::new() };
        let pointer = format!("{pointer}/ItemsPointer");
        if config.get("InputType").and_then(Value::as_str) != Some("JSON") {
            self.fault(pointer, "ItemsPointer is for the InputType JSON only");
        } else if !text.is_empty() && !text.starts_with('/') {
            self.fault(pointer, format!("{text:?} is not a JSON pointer: it has to begin with /"));
        }
        text.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~")).collect()
    }

    fn csv(&mut self, config: &Value, pointer: &str) -> Csv {
        let delimiter = match config.get("CSVDelimiter").and_then(Value::as_str) {
            None | Some("COMMA") => b',',
            Some("PIPE") => b'|',
            Some("SEMICOLON") => b';',
            Some("SPACE") => b' ',
            Some("TAB") => b'\t',
            Some(other) => {
                self.fault(
                    format!("{pointer}/CSVDelimiter"),
                    format!("{other:?} is not one of COMMA, PIPE, SEMICOLON, SPACE, TAB"),
                );
                b','
            }
        };
        let given = config.get("CSVHeaders").and_then(Value::as_array);
        let headers = match (config.get("CSVHeaderLocation").and_then(Value::as_str), given) {
            (Some("FIRST_ROW"), None) => None,
            (Some("GIVEN"), Some(names)) => {
                Some(names.iter().filter_map(Value::as_str).map(str::to_owned).collect())
            }
            _ => {
                self.fault(
                    pointer.to_owned(),
                    "CSV needs the CSVHeaderLocation FIRST_ROW, or GIVEN together with CSVHeaders",
                );
                None
            }
        };
        Csv { delimiter, headers }
    }

    pub(super) fn batcher(&mut self, map: &document::Map, here: &Here<'_>) -> Option<Batcher> {
        let batcher = map.item_batcher.as_ref()?;
        let max_items = self.amount_of(batcher, here, "ItemBatcher", "MaxItemsPerBatch");
        let max_bytes = self.amount_of(batcher, here, "ItemBatcher", "MaxInputBytesPerBatch");
        if max_items.is_none() && max_bytes.is_none() {
            self.fault(
                here.field("ItemBatcher"),
                "ItemBatcher needs MaxItemsPerBatch or MaxInputBytesPerBatch",
            );
        }
        let input = batcher
            .get("BatchInput")
            .and_then(|value| self.selector_at(value, here, "ItemBatcher/BatchInput"));
        Some(Batcher { max_items, max_bytes, input })
    }

    pub(super) fn writer(&mut self, map: &document::Map, here: &Here<'_>) -> Option<Writer> {
        let writer = map.result_writer.as_ref()?;
        let pointer = here.field("ResultWriter");
        let export = match writer.get("Resource").and_then(Value::as_str) {
            None => None,
            Some(PUT) => {
                self.names(writer, here, "ResultWriter", &["Bucket", "Prefix"], 1);
                self.selector_of(writer, here, "ResultWriter")
            }
            Some(other) => {
                self.not_built(format!("{pointer}/Resource"), &format!("the result writer {other:?}"));
                None
            }
        };
        let config = |name: &str| writer.get("WriterConfig").and_then(|config| config.get(name));
        let transformation = match config("Transformation").and_then(Value::as_str) {
            Some("NONE") => Transformation::Whole,
            Some("FLATTEN") => Transformation::Flatten,
            Some("COMPACT") => Transformation::Compact,
            _ if export.is_some() => Transformation::Whole,
            _ => Transformation::Compact,
        };
        let lines = config("OutputType").and_then(Value::as_str) == Some("JSONL");
        if lines && export.is_none() {
            self.not_built(
                format!("{pointer}/WriterConfig/OutputType"),
                "JSONL for results that are not written to a bucket",
            );
        }
        Some(Writer { transformation, lines, export })
    }

    /// The arguments of an action of S3 that the engine knows are all that may be given.
    pub(super) fn s3_arguments(&mut self, given: Option<&Value>, here: &Here<'_>, action: S3Action) {
        let (known, required) = action.arguments();
        let name = arguments_name(here);
        let holder = given.map(|value| serde_json::json!({ (name): value })).unwrap_or_default();
        self.named(&holder, &here.pointer, name, known, required);
    }

    fn names(&mut self, owner: &Value, here: &Here<'_>, field: &str, known: &[&str], required: usize) {
        self.named(owner, &here.field(field), arguments_name(here), known, required);
    }

    fn named(&mut self, owner: &Value, pointer: &str, name: &str, known: &[&str], required: usize) {
        let Some(value) = owner.get(name) else {
            // Without arguments the state's input gives them.
            return;
        };
        // An expression gives all of them.
        let Some(members) = value.as_object() else { return };
        let given: Vec<&str> =
            members.keys().map(|key| key.strip_suffix(".$").unwrap_or(key.as_str())).collect();
        let pointer = pointer_push(pointer, name);
        for (key, plain) in members.keys().zip(&given) {
            if !known.contains(plain) {
                self.not_built(pointer_push(&pointer, key), &format!("the argument {plain}"));
            }
        }
        for missing in known.iter().take(required).filter(|name| !given.contains(name)) {
            self.fault(pointer.clone(), format!("the argument {missing} has to be here"));
        }
    }

    /// Parameters or Arguments.
    fn selector_of(&mut self, owner: &Value, here: &Here<'_>, field: &str) -> Option<Selector> {
        let name = arguments_name(here);
        self.selector_at(owner.get(name)?, here, &format!("{field}/{name}"))
    }

    fn selector_at(&mut self, value: &Value, here: &Here<'_>, field: &str) -> Option<Selector> {
        let pointer = format!("{}/{field}", here.pointer);
        match here.language {
            QueryLanguage::JSONPath => {
                self.templates(Template::compile(value), &pointer).map(Selector::Template)
            }
            QueryLanguage::JSONata => {
                self.templates(JsonataTemplate::compile(value, field), &pointer).map(Selector::Jsonata)
            }
        }
    }

    fn amount_of(
        &mut self,
        owner: &Value,
        here: &Here<'_>,
        field: &str,
        name: &'static str,
    ) -> Option<Amount> {
        let path = format!("{name}Path");
        let setting = match owner.get(name) {
            Some(Value::String(text)) if unwrapped(text).is_none() => {
                self.fault(format!("{}/{field}/{name}", here.pointer), format!("{name} is not a number"));
                None
            }
            Some(value) => serde_json::from_value::<Setting>(value.clone()).ok(),
            None => None,
        };
        let path = owner.get(&path).and_then(Value::as_str).map(str::to_owned);
        self.amount(here, setting.as_ref(), path.as_ref(), name)
    }
}

fn arguments_name(here: &Here<'_>) -> &'static str {
    match here.language {
        QueryLanguage::JSONPath => "Parameters",
        QueryLanguage::JSONata => "Arguments",
    }
}

#[cfg(test)]
mod tests {
    use crate::document::MachineType;
    use crate::program::Program;

    /// What is found about a distributed Map with this reader.
    fn found(reader: &str) -> Vec<String> {
        let text = format!(
            r#"{{"StartAt": "M", "States": {{"M": {{"Type": "Map", "End": true, "ItemReader": {reader},
            "ItemProcessor": {{"ProcessorConfig": {{"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}},
            "StartAt": "I", "States": {{"I": {{"Type": "Succeed"}}}}}}}}}}}}"#
        );
        let found = Program::load(&text, MachineType::Standard).err().unwrap_or_default();
        found.into_iter().map(|finding| format!("{} {}", finding.pointer, finding.message)).collect()
    }

    #[test]
    fn readers_that_are_built_and_that_are_refused_by_name() {
        let get = r#""Resource": "arn:aws:states:::s3:getObject", "Parameters": {"Bucket": "b", "Key": "k"}"#;
        let list = r#""Resource": "arn:aws:states:::s3:listObjectsV2", "Parameters": {"Bucket": "b"}"#;
        let read = |call: &str, config: &str| found(&format!("{{{call}, \"ReaderConfig\": {{{config}}}}}"));
        for (call, config) in [
            (get, r#""InputType": "JSON", "ItemsPointer": "/a/0/b~1c""#),
            (get, r#""InputType": "JSONL", "Transformation": "NONE""#),
            (list, r#""Transformation": "LOAD_AND_FLATTEN", "InputType": "JSON", "ItemsPointer": "/a""#),
            (
                list,
                r#""Transformation": "LOAD_AND_FLATTEN", "InputType": "CSV", "CSVHeaderLocation": "FIRST_ROW""#,
            ),
        ] {
            assert_eq!(read(call, config), Vec::<String>::new(), "{config}");
        }
        for (call, config, expected) in [
            (get, r#""InputType": "PARQUET""#, "PARQUET"),
            (get, r#""InputType": "MANIFEST", "ManifestType": "ATHENA_DATA""#, "ATHENA_DATA"),
            (list, r#""Transformation": "LOAD_AND_FLATTEN", "InputType": "PARQUET""#, "PARQUET"),
            (list, r#""Transformation": "LOAD_AND_FLATTEN""#, "needs the InputType"),
            (get, r#""InputType": "JSONL", "Transformation": "LOAD_AND_FLATTEN""#, "LOAD_AND_FLATTEN"),
            (get, r#""InputType": "JSON", "ItemsPointer": "a""#, "has to begin with /"),
            (get, r#""InputType": "JSONL", "ItemsPointer": "/a""#, "for the InputType JSON only"),
        ] {
            let found = read(call, config);
            assert!(found.iter().any(|finding| finding.contains(expected)), "{config}: {found:?}");
        }
    }
}
