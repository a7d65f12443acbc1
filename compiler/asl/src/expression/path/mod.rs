//! JSONPath as Step Functions has it (the Jayway dialect): `$.a[0]` is definite and has one value or none, which is
//! an error; a path with a wildcard, slice, union, filter or descent has a list, which may be empty.

mod evaluate;
mod parse;

use serde_json::Value;

pub use parse::is_path;

/// A compiled path.
#[derive(Debug, Clone)]
pub struct Path {
    text: String,
    root: Root,
    /// The names that the path starts with, for the context object.
    names: Vec<String>,
    steps: Vec<Step>,
    definite: bool,
}

/// Where a path starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    /// `$`: the input.
    Input,
    /// `$$`: the context object.
    Context,
    /// `$name`: a variable.
    Variable(String),
}

#[derive(Debug, Clone)]
enum Step {
    Name(String),
    Index(i64),
    Wildcard,
    Slice {
        start: Option<i64>,
        end: Option<i64>,
        step: i64,
    },
    Names(Vec<String>),
    Indices(Vec<i64>),
    Filter(Box<serde_json_path::JsonPath>),
    /// `..`: the next step applies to the value and to everything inside it.
    Descend,
}

impl Path {
    /// The path as written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where it starts.
    #[must_use]
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// Whether it has exactly one value.
    #[must_use]
    pub fn is_definite(&self) -> bool {
        self.definite
    }

    /// Whether it is `$`.
    #[must_use]
    pub fn is_input(&self) -> bool {
        self.root == Root::Input && self.steps.is_empty()
    }

    /// Whether it names one place of the input: what ResultPath needs.
    #[must_use]
    pub fn is_reference(&self) -> bool {
        self.root == Root::Input
            && self.steps.iter().all(|step| match step {
                Step::Name(_) => true,
                Step::Index(index) => *index >= 0,
                _ => false,
            })
    }

    /// The steps of a reference path.
    pub(super) fn reference_steps(&self) -> impl Iterator<Item = ReferenceStep<'_>> {
        self.steps.iter().filter_map(|step| match step {
            Step::Name(name) => Some(ReferenceStep::Name(name)),
            Step::Index(index) => usize::try_from(*index).ok().map(ReferenceStep::Index),
            _ => None,
        })
    }
}

/// One step of a reference path.
#[derive(Debug, Clone, Copy)]
pub(super) enum ReferenceStep<'a> {
    Name(&'a str),
    Index(usize),
}

/// The root of a value that a path goes down from.
type Found<'a> = std::borrow::Cow<'a, Value>;
