//! The comparison operators, as data.

use crate::expression::timestamp;
use serde_json::Value;
use std::cmp::Ordering;

/// A comparison operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operator {
    /// As in a rule, without `Path`.
    pub name: &'static str,
    /// Whether there is one with `Path` at its end.
    pub has_path_form: bool,
    pub(super) test: Test,
}

/// What an operator asks of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Test {
    Ordered(Kind, Relation),
    Matches,
    Is(Kind),
    IsNull,
    IsPresent,
}

/// The types that values are compared as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Boolean,
    Numeric,
    String,
    Timestamp,
}

/// What of two values has to be so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

const fn ordered(name: &'static str, kind: Kind, relation: Relation) -> Operator {
    Operator { name, has_path_form: true, test: Test::Ordered(kind, relation) }
}

const fn is(name: &'static str, test: Test) -> Operator {
    Operator { name, has_path_form: false, test }
}

/// All operators (AWS: "Choice workflow state").
pub const OPERATORS: &[Operator] = &[
    ordered("BooleanEquals", Kind::Boolean, Relation::Equal),
    is("IsBoolean", Test::Is(Kind::Boolean)),
    is("IsNull", Test::IsNull),
    is("IsNumeric", Test::Is(Kind::Numeric)),
    is("IsPresent", Test::IsPresent),
    is("IsString", Test::Is(Kind::String)),
    is("IsTimestamp", Test::Is(Kind::Timestamp)),
    ordered("NumericEquals", Kind::Numeric, Relation::Equal),
    ordered("NumericGreaterThan", Kind::Numeric, Relation::Greater),
    ordered("NumericGreaterThanEquals", Kind::Numeric, Relation::GreaterOrEqual),
    ordered("NumericLessThan", Kind::Numeric, Relation::Less),
    ordered("NumericLessThanEquals", Kind::Numeric, Relation::LessOrEqual),
    ordered("StringEquals", Kind::String, Relation::Equal),
    ordered("StringGreaterThan", Kind::String, Relation::Greater),
    ordered("StringGreaterThanEquals", Kind::String, Relation::GreaterOrEqual),
    ordered("StringLessThan", Kind::String, Relation::Less),
    ordered("StringLessThanEquals", Kind::String, Relation::LessOrEqual),
    is("StringMatches", Test::Matches),
    ordered("TimestampEquals", Kind::Timestamp, Relation::Equal),
    ordered("TimestampGreaterThan", Kind::Timestamp, Relation::Greater),
    ordered("TimestampGreaterThanEquals", Kind::Timestamp, Relation::GreaterOrEqual),
    ordered("TimestampLessThan", Kind::Timestamp, Relation::Less),
    ordered("TimestampLessThanEquals", Kind::Timestamp, Relation::LessOrEqual),
];

impl Operator {
    /// The operator called `name`, and whether it is its form with `Path`.
    #[must_use]
    pub fn find(name: &str) -> Option<(&'static Self, bool)> {
        if let Some(operator) = OPERATORS.iter().find(|operator| operator.name == name) {
            return Some((operator, false));
        }
        let plain = name.strip_suffix("Path")?;
        OPERATORS
            .iter()
            .find(|operator| operator.has_path_form && operator.name == plain)
            .map(|operator| (operator, true))
    }

    /// Whether the definition may have `operand` for this operator.
    #[must_use]
    pub fn accepts(&self, operand: &Value) -> bool {
        self.test.accepts(operand)
    }
}

impl Test {
    pub(super) fn accepts(self, operand: &Value) -> bool {
        match self {
            Self::Ordered(kind, _) => kind.has(operand),
            Self::Matches => operand.is_string(),
            Self::Is(_) | Self::IsNull | Self::IsPresent => operand.is_boolean(),
        }
    }

    pub(super) fn holds(self, value: &Value, operand: &Value) -> bool {
        match self {
            Self::Ordered(kind, relation) => {
                kind.compare(value, operand).is_some_and(|ordering| relation.holds(ordering))
            }
            Self::Matches => match (value, operand) {
                (Value::String(value), Value::String(pattern)) => matches(value, pattern),
                _ => false,
            },
            Self::Is(kind) => operand.as_bool() == Some(kind.has(value)),
            Self::IsNull => operand.as_bool() == Some(value.is_null()),
            Self::IsPresent => operand.as_bool() == Some(true),
        }
    }
}

impl Kind {
    fn has(self, value: &Value) -> bool {
        match self {
            Self::Boolean => value.is_boolean(),
            Self::Numeric => value.is_number(),
            Self::String => value.is_string(),
            Self::Timestamp => value.as_str().is_some_and(|text| timestamp::parse(text).is_some()),
        }
    }

    /// `None` where one of them is of another type.
    fn compare(self, left: &Value, right: &Value) -> Option<Ordering> {
        match self {
            Self::Boolean => Some(left.as_bool()?.cmp(&right.as_bool()?)),
            Self::Numeric => match (left.as_i64(), right.as_i64()) {
                (Some(left), Some(right)) => Some(left.cmp(&right)),
                _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
            },
            Self::String => Some(left.as_str()?.cmp(right.as_str()?)),
            Self::Timestamp => {
                Some(timestamp::parse(left.as_str()?)?.cmp(&timestamp::parse(right.as_str()?)?))
            }
        }
    }
}

impl Relation {
    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

/// `*` stands for any characters, `\*` for an asterisk, `\\` for a backslash.
fn matches(text: &str, pattern: &str) -> bool {
    let mut parts = vec![String::new()];
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        let literal = match c {
            '*' => {
                parts.push(String::new());
                continue;
            }
            '\\' => chars.next().unwrap_or('\\'),
            c => c,
        };
        if let Some(part) = parts.last_mut() {
            part.push(literal);
        }
    }
    let [first, middle @ .., last] = &parts[..] else {
        return parts.first().is_some_and(|only| only == text);
    };
    let Some(mut rest) = text.strip_prefix(first.as_str()).and_then(|rest| rest.strip_suffix(last.as_str()))
    else {
        return false;
    };
    for part in middle {
        match rest.find(part.as_str()) {
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn wildcards() {
        for (text, pattern, expected) in [
            ("foo123.log", "foo*.log", true),
            ("foo.log", "foo*.log", true),
            ("foo123.txt", "foo*.log", false),
            ("foobar", "foobar", true),
            ("a*b", "a\\*b", true),
            ("axb", "a\\*b", false),
            ("aa", "a*a*a", false),
            ("abcabc", "*b*b*", true),
            ("", "*", true),
            ("a", "", false),
        ] {
            assert_eq!(matches(text, pattern), expected, "{text} {pattern}");
        }
    }
}
