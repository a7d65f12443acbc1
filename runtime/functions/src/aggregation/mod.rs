//! The rules by which what peers published becomes one, one file each.

mod mean;

pub use mean::Mean;
