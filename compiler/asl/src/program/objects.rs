//! Amazon S3 in a machine: the actions a Task can ask for, and what a distributed Map reads, batches and writes (AWS:
//! "ItemReader (Map)", "ItemBatcher (Map)", "ResultWriter (Map)").

use super::{Amount, Selector};

/// An action of `aws-sdk:s3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum S3Action {
    /// An object's bytes, as text.
    GetObject,
    /// Writes an object.
    PutObject,
    /// The objects of a bucket, a page of them.
    ListObjectsV2,
}

impl S3Action {
    /// The action as a Resource names it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "getObject" => Some(Self::GetObject),
            "putObject" => Some(Self::PutObject),
            "listObjectsV2" => Some(Self::ListObjectsV2),
            _ => None,
        }
    }

    /// As a Resource names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::GetObject => "getObject",
            Self::PutObject => "putObject",
            Self::ListObjectsV2 => "listObjectsV2",
        }
    }

    /// The arguments that the engine knows; the first `required` of them have to be there.
    #[must_use]
    pub const fn arguments(self) -> (&'static [&'static str], usize) {
        match self {
            Self::GetObject => (&["Bucket", "Key"], 2),
            Self::PutObject => (&["Bucket", "Key", "Body", "ContentType"], 2),
            Self::ListObjectsV2 => (&["Bucket", "Prefix", "MaxKeys", "StartAfter", "ContinuationToken"], 1),
        }
    }
}

/// Where a distributed Map takes its items from.
#[derive(Debug, Clone)]
pub struct Reader {
    /// What is read, and how.
    pub format: Format,
    /// Bucket and Key, or Bucket and Prefix.
    pub arguments: Option<Selector>,
    /// Items at the most; 0 for all.
    pub max_items: Option<Amount>,
}

/// What items are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// An object that is a JSON array, or that has one where the pointer leads.
    Json(Pointer),
    /// An object with a JSON value in each line.
    JsonLines,
    /// An object of comma-separated values.
    Csv(Csv),
    /// The manifest of an S3 Inventory, whose files are of comma-separated values.
    Inventory,
    /// The objects of a bucket.
    Listing,
    /// What is in the objects of a bucket, one after the other, each of this format.
    Flattened(Box<Format>),
}

/// A JSON pointer (RFC 6901), taken apart; empty for the whole.
pub type Pointer = Vec<String>;

impl Format {
    /// The arguments that the reader takes; the first `required` of them have to be there.
    #[must_use]
    pub const fn arguments(&self) -> (&'static [&'static str], usize) {
        match self {
            Self::Listing | Self::Flattened(_) => (&["Bucket", "Prefix"], 1),
            _ => (&["Bucket", "Key"], 2),
        }
    }
}

/// How comma-separated values are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Csv {
    /// Between the fields of a row.
    pub delimiter: u8,
    /// The names of the fields; in the first row, if absent.
    pub headers: Option<Vec<String>>,
}

/// How a distributed Map groups its items.
#[derive(Debug, Clone)]
pub struct Batcher {
    /// Items of a batch at the most.
    pub max_items: Option<Amount>,
    /// Bytes of a batch's input at the most.
    pub max_bytes: Option<Amount>,
    /// What every batch gets as well.
    pub input: Option<Selector>,
}

/// What becomes of a distributed Map's results.
#[derive(Debug, Clone)]
pub struct Writer {
    /// What is kept of each child execution.
    pub transformation: Transformation,
    /// Whether result files have a value in each line; else they are arrays.
    pub lines: bool,
    /// Bucket and Prefix; without it the results are the state's result.
    pub export: Option<Selector>,
}

/// What is kept of each child execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transformation {
    /// All that DescribeExecution says of it.
    Whole,
    /// Its output.
    Compact,
    /// Its output; where that is an array, the elements.
    Flatten,
}
