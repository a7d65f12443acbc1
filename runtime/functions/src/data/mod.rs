//! The data: read from its source in one pass, shared out over the peers, and written as batches of raw
//! values; what the model sees is made of them at load.
//!
//! The first pass streams the source, one file here for each format, into a spool file of records and keeps
//! labels only; the batches are then cut out of the spool. So a data set larger than memory is never loaded
//! whole. What a source says of itself is not trusted: sizes are checked against the file's length before
//! anything is allocated.
//!
//! **Order.** A shard is shuffled once, when it is cut ([`crate::handlers`], `prepare`), and its batches stay
//! as they are; the last one may be shorter. The *order* in which a peer works through its batches is drawn
//! anew for each pass ([`order`]).

#[cfg(feature = "torch")]
mod batch;
mod cifar10;
mod csv;
mod fetched;
mod idx;
mod libsvm;
mod npy;
pub mod order;
pub mod partition;
mod prepared;
mod preprocess;
mod root;
mod source;
mod spool;
mod synthetic;

#[cfg(feature = "torch")]
pub use batch::Batch;
pub use prepared::{Place, Prepared, prepare};
pub(crate) use root::unkept;
pub use root::{Root, Sources};

use stepgrad_contract::{ErrorKind, FunctionError};

/// The error of data that is missing or malformed.
fn invalid(message: impl Into<String>) -> FunctionError {
    FunctionError::new(ErrorKind::InvalidData, message)
}

/// Which of the two sets is read, where a folder may hold both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// What is trained on.
    Training,
    /// What is held out.
    Validation,
}
