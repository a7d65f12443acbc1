//! Where ResultPath puts a result.

use crate::document::PathField;
use crate::expression::{EvaluationError, ReferencePath, SyntaxError};
use crate::payload::Payload;

/// Where a result goes in the raw input.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// In the input's stead.
    Whole,
    /// Nowhere: the input goes on.
    Nowhere,
    /// There.
    At(ReferencePath),
}

impl Place {
    pub(super) fn compile(field: &PathField) -> Result<Self, SyntaxError> {
        match field {
            PathField::Absent => Ok(Self::Whole),
            PathField::Null => Ok(Self::Nowhere),
            PathField::Path(path) => {
                let path = ReferencePath::parse(path)?;
                Ok(if path.is_root() { Self::Whole } else { Self::At(path) })
            }
        }
    }

    pub(super) fn put(&self, input: &Payload, result: &Payload) -> Result<Payload, EvaluationError> {
        match self {
            Self::Whole => Ok(result.clone()),
            Self::Nowhere => Ok(input.clone()),
            Self::At(path) => {
                let mut value = input.value().clone();
                path.write(&mut value, result.value().clone())?;
                Ok(Payload::new(value))
            }
        }
    }
}
