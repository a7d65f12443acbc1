//! What a package says of libraries that lie compressed in it, because it would not fit otherwise: the small `bootstrap` reads it,
//! unpacks them outside the package, and goes on as the program that needs them.

use serde::{Deserialize, Serialize};

/// The version of [`Unpack`].
pub const VERSION: u32 = 1;
/// The file, beside `bootstrap`.
pub const FILE: &str = "unpack.json";
/// The program that needs the libraries, beside `bootstrap`.
pub const PROGRAM: &str = "bootstrap-torch";

/// `unpack.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unpack {
    /// [`VERSION`].
    pub version: u32,
    /// The libraries.
    pub libraries: Vec<Library>,
}

/// A library that is compressed by zstd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Library {
    /// The compressed file, below the package's root.
    pub file: String,
    /// What it is called when it is unpacked.
    pub name: String,
    /// Its bytes then.
    pub bytes: u64,
    /// SHA-256 of these bytes.
    pub sha256: String,
}
