//! A value that remembers where it stands, so that a later phase can complain about it at the right place.

use crate::diagnostic::{Argument, Place};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, Serializer};
use std::borrow::Cow;
use std::ops::Range;

/// A value of the spec and its place. It serialises as the value alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Bytes of the source; `None` for a default and for what was set on the command line.
    pub span: Option<Range<usize>>,
    /// The command-line argument that set it.
    pub argument: Option<Argument>,
    /// False for the stand-in of a value that could not be read; such a one never leaves the spec's reader.
    known: bool,
}

impl<T> Spanned<T> {
    /// A default: a value that stands nowhere.
    #[must_use]
    pub const fn new(value: T) -> Self {
        Self { value, span: None, argument: None, known: true }
    }

    /// A value read at `place`.
    #[must_use]
    pub fn read(value: T, place: &Place) -> Self {
        match place {
            Place::Source(span) => Self { span: Some(span.clone()), ..Self::new(value) },
            Place::Argument(argument) => Self { argument: Some(argument.clone()), ..Self::new(value) },
            Place::Nowhere => Self::new(value),
        }
    }

    /// Where it stands, for [`crate::diagnostic::Diagnostic::at`] and [`crate::diagnostic::Diagnostic::also`].
    #[must_use]
    pub fn place(&self) -> Place {
        match (&self.span, &self.argument) {
            (Some(span), _) => Place::Source(span.clone()),
            (None, Some(argument)) => Place::Argument(argument.clone()),
            (None, None) => Place::Nowhere,
        }
    }

    /// Whether it was given, as opposed to a default.
    #[must_use]
    pub const fn is_given(&self) -> bool {
        self.span.is_some() || self.argument.is_some()
    }

    /// Stands in for a value that could not be read, which has been reported.
    pub(crate) const fn unknown(value: T) -> Self {
        Self { value, span: None, argument: None, known: false }
    }

    /// The value, unless it stands in for one that could not be read.
    pub(crate) const fn known(&self) -> Option<&T> {
        if self.known { Some(&self.value) } else { None }
    }

    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> U) -> Spanned<U> {
        Spanned { value: change(self.value), span: self.span, argument: self.argument, known: self.known }
    }
}

impl<T> std::ops::Deref for Spanned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Serialize> Serialize for Spanned<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

impl<T: JsonSchema> JsonSchema for Spanned<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}
