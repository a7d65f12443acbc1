//! The fields of every object of the language, as data (AWS: "State machine structure" and the pages of the states).

use crate::document::QueryLanguage;

/// What a field's value has to be.
#[derive(Debug, Clone, Copy)]
pub(in crate::check) enum Kind {
    /// A string.
    Text,
    /// A boolean.
    Boolean,
    /// A whole number from, to.
    Integer(i64, i64),
    /// A number from, to.
    Number(f64, f64),
    /// A whole number from, to; in JSONata also an expression.
    Setting(i64, i64),
    /// A time; in JSONata also an expression.
    Timestamp,
    /// One of these strings.
    OneOf(&'static [&'static str]),
    /// The name of a state.
    StateName,
    /// A path or null.
    NullablePath,
    /// A reference path or null.
    NullableReference,
    /// A path.
    Path,
    /// A path or an intrinsic function.
    Query,
    /// A payload template.
    Template,
    /// Any value, with expressions in it.
    Jsonata,
    /// An object of variables.
    Assign,
    /// A string that may be an expression in JSONata.
    TextOrJsonata,
    /// Strings.
    Texts,
    /// An object with these fields.
    Object(&'static [Field]),
    /// An array of objects with these fields.
    Objects(&'static [Field]),
    /// Choice rules: their fields depend on the language and on each other.
    Rules,
    /// An object; its members are looked at elsewhere.
    AnyObject,
    /// An array; its elements are looked at elsewhere, and there has to be one.
    AnyArray,
    /// Anything.
    Any,
}

/// A field.
#[derive(Debug, Clone, Copy)]
pub(in crate::check) struct Field {
    pub(in crate::check) name: &'static str,
    pub(in crate::check) kind: Kind,
    pub(in crate::check) required: bool,
    /// Of states in this language only.
    pub(in crate::check) language: Option<QueryLanguage>,
}

const fn any(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, required: false, language: None }
}
const fn needed(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, required: true, language: None }
}
const fn path(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, required: false, language: Some(QueryLanguage::JSONPath) }
}
const fn jsonata(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, required: false, language: Some(QueryLanguage::JSONata) }
}

/// AWS: 99,999,999 seconds at the most.
const SECONDS: Kind = Kind::Setting(1, 99_999_999);
const LANGUAGES: Kind = Kind::OneOf(&["JSONPath", "JSONata"]);

pub(in crate::check) const MACHINE: &[Field] = &[
    any("Comment", Kind::Text),
    any("QueryLanguage", LANGUAGES),
    needed("StartAt", Kind::StateName),
    any("Version", Kind::Text),
    any("TimeoutSeconds", Kind::Integer(1, 99_999_999)),
    needed("States", Kind::AnyObject),
];

pub(in crate::check) const BRANCH: &[Field] = &[
    any("Comment", Kind::Text),
    any("QueryLanguage", LANGUAGES),
    needed("StartAt", Kind::StateName),
    needed("States", Kind::AnyObject),
];

pub(in crate::check) const PROCESSOR: &[Field] = &[
    any("Comment", Kind::Text),
    any("QueryLanguage", LANGUAGES),
    any("ProcessorConfig", Kind::Object(PROCESSOR_CONFIG)),
    needed("StartAt", Kind::StateName),
    needed("States", Kind::AnyObject),
];

const PROCESSOR_CONFIG: &[Field] = &[
    any("Mode", Kind::OneOf(&["INLINE", "DISTRIBUTED"])),
    any("ExecutionType", Kind::OneOf(&["STANDARD", "EXPRESS"])),
];

const RETRIER: &[Field] = &[
    any("Comment", Kind::Text),
    needed("ErrorEquals", Kind::Texts),
    any("IntervalSeconds", Kind::Integer(1, 99_999_999)),
    any("MaxAttempts", Kind::Integer(0, 99_999_999)),
    any("BackoffRate", Kind::Number(1.0, 1e9)),
    any("MaxDelaySeconds", Kind::Integer(1, 31_622_400)),
    any("JitterStrategy", Kind::OneOf(&["FULL", "NONE"])),
];

const CATCHER: &[Field] = &[
    any("Comment", Kind::Text),
    needed("ErrorEquals", Kind::Texts),
    needed("Next", Kind::StateName),
    path("ResultPath", Kind::NullableReference),
    any("Assign", Kind::Assign),
    jsonata("Output", Kind::Jsonata),
];

const CREDENTIALS: &[Field] = &[path("RoleArn.$", Kind::Query), any("RoleArn", Kind::TextOrJsonata)];

const ITEM_READER: &[Field] = &[
    needed("Resource", Kind::Text),
    any("ReaderConfig", Kind::Object(READER_CONFIG)),
    path("Parameters", Kind::Template),
    jsonata("Arguments", Kind::Jsonata),
];

const READER_CONFIG: &[Field] = &[
    any("InputType", Kind::Text),
    any("Transformation", Kind::Text),
    any("ManifestType", Kind::Text),
    any("ItemsPointer", Kind::Text),
    any("CSVDelimiter", Kind::OneOf(&["COMMA", "PIPE", "SEMICOLON", "SPACE", "TAB"])),
    any("CSVHeaderLocation", Kind::OneOf(&["FIRST_ROW", "GIVEN"])),
    any("CSVHeaders", Kind::Texts),
    any("MaxItems", Kind::Setting(0, 100_000_000)),
    path("MaxItemsPath", Kind::Path),
];

const ITEM_BATCHER: &[Field] = &[
    path("BatchInput", Kind::Template),
    jsonata("BatchInput", Kind::Jsonata),
    any("MaxItemsPerBatch", Kind::Setting(1, 99_999_999)),
    path("MaxItemsPerBatchPath", Kind::Path),
    any("MaxInputBytesPerBatch", Kind::Setting(1, 262_144)),
    path("MaxInputBytesPerBatchPath", Kind::Path),
];

const RESULT_WRITER: &[Field] = &[
    any("Resource", Kind::Text),
    any("WriterConfig", Kind::Object(WRITER_CONFIG)),
    path("Parameters", Kind::Template),
    jsonata("Arguments", Kind::Jsonata),
];

const WRITER_CONFIG: &[Field] = &[
    needed("OutputType", Kind::OneOf(&["JSON", "JSONL"])),
    any("Transformation", Kind::OneOf(&["NONE", "COMPACT", "FLATTEN"])),
];

/// Fields of every state.
const STATE: &[Field] =
    &[needed("Type", Kind::Text), any("Comment", Kind::Text), any("QueryLanguage", LANGUAGES)];
const NEXT: &[Field] = &[any("Next", Kind::StateName), any("End", Kind::Boolean)];
const IO: &[Field] = &[
    path("InputPath", Kind::NullablePath),
    path("OutputPath", Kind::NullablePath),
    jsonata("Output", Kind::Jsonata),
];
const ASSIGN: &[Field] = &[any("Assign", Kind::Assign)];
const RESULT: &[Field] = &[
    path("Parameters", Kind::Template),
    jsonata("Arguments", Kind::Jsonata),
    path("ResultSelector", Kind::Template),
    path("ResultPath", Kind::NullableReference),
    any("Retry", Kind::Objects(RETRIER)),
    any("Catch", Kind::Objects(CATCHER)),
];

const PASS: &[Field] = &[
    path("Result", Kind::Any),
    path("ResultPath", Kind::NullableReference),
    path("Parameters", Kind::Template),
];
const TASK: &[Field] = &[
    needed("Resource", Kind::Text),
    any("Credentials", Kind::Object(CREDENTIALS)),
    any("TimeoutSeconds", SECONDS),
    path("TimeoutSecondsPath", Kind::Path),
    any("HeartbeatSeconds", SECONDS),
    path("HeartbeatSecondsPath", Kind::Path),
];
const CHOICE: &[Field] = &[needed("Choices", Kind::Rules), any("Default", Kind::StateName)];
const WAIT: &[Field] = &[
    any("Seconds", Kind::Setting(0, 99_999_999)),
    path("SecondsPath", Kind::Path),
    any("Timestamp", Kind::Timestamp),
    path("TimestampPath", Kind::Path),
];
const FAIL: &[Field] = &[
    any("Error", Kind::TextOrJsonata),
    path("ErrorPath", Kind::Query),
    any("Cause", Kind::TextOrJsonata),
    path("CausePath", Kind::Query),
];
const PARALLEL: &[Field] = &[needed("Branches", Kind::AnyArray)];
const MAP: &[Field] = &[
    any("ItemProcessor", Kind::AnyObject),
    any("Iterator", Kind::AnyObject),
    path("ItemsPath", Kind::Path),
    jsonata("Items", Kind::Jsonata),
    path("ItemSelector", Kind::Template),
    jsonata("ItemSelector", Kind::Jsonata),
    any("MaxConcurrency", Kind::Setting(0, 99_999_999)),
    path("MaxConcurrencyPath", Kind::Path),
    any("ToleratedFailureCount", Kind::Setting(0, 99_999_999)),
    path("ToleratedFailureCountPath", Kind::Path),
    any("ToleratedFailurePercentage", Kind::Setting(0, 100)),
    path("ToleratedFailurePercentagePath", Kind::Path),
    any("ItemReader", Kind::Object(ITEM_READER)),
    any("ItemBatcher", Kind::Object(ITEM_BATCHER)),
    any("ResultWriter", Kind::Object(RESULT_WRITER)),
    any("Label", Kind::Text),
];

/// The types of states and the groups of their fields.
pub(in crate::check) const STATES: &[(&str, &[&[Field]])] = &[
    ("Pass", &[STATE, IO, ASSIGN, NEXT, PASS]),
    ("Task", &[STATE, IO, ASSIGN, NEXT, RESULT, TASK]),
    ("Choice", &[STATE, IO, ASSIGN, CHOICE]),
    ("Wait", &[STATE, IO, ASSIGN, NEXT, WAIT]),
    ("Succeed", &[STATE, IO]),
    ("Fail", &[STATE, FAIL]),
    ("Parallel", &[STATE, IO, ASSIGN, NEXT, RESULT, PARALLEL]),
    ("Map", &[STATE, IO, ASSIGN, NEXT, RESULT, MAP]),
];
