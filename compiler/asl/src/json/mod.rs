//! JSON with places: every value knows where it stands in its text, an object keeps its members in order and its
//! duplicates. Not a general reader: the nesting is bounded, and one finding ends the reading.

mod node;
mod reader;

pub use node::{Member, Node, NodeKind, Position, Span};
pub use reader::{JsonError, MAX_DEPTH, read};
