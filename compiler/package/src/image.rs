//! The context of a container image: its Dockerfile and the files that it copies, for `docker build`. An image holds up to 10 GB, so
//! the libraries lie in it as they are.
//!
//! Source: AWS Lambda, "Using an AWS base image for custom runtimes".

use crate::archive::{File, Files};
use crate::{Architecture, PackageError, layout};
use std::path::Path;

/// The context for the functions that need libtorch; `dockerfile` copies `bootstrap` and `lib/` from it.
///
/// # Errors
/// As [`layout::torch`].
pub fn context(
    binary: &Path,
    libraries: &Path,
    architecture: Architecture,
    dockerfile: String,
) -> Result<Files, PackageError> {
    let mut files = layout::whole(binary, libraries, architecture)?;
    files.insert("Dockerfile".to_owned(), File::data(dockerfile.into_bytes()));
    Ok(files)
}
