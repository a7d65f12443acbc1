//! Fields whose absence, null and kinds of value differ in meaning.

use serde::{Deserialize, Deserializer};

/// `InputPath`, `OutputPath`, `ResultPath`: absent and null are not the same.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum PathField {
    /// Not there: the default, `$`.
    #[default]
    Absent,
    /// null: nothing is taken, or the result is dropped.
    Null,
    /// A path.
    Path(String),
}

impl<'de> Deserialize<'de> for PathField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::<String>::deserialize(deserializer)?.map_or(Self::Null, Self::Path))
    }
}

/// A number, or the JSONata expression that gives it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Setting {
    /// A whole number.
    Integer(i64),
    /// Another number.
    Number(f64),
    /// `{% … %}`.
    Expression(String),
}
