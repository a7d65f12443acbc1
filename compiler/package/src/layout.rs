//! What is in a package, and where. `provided.al2023` runs the file `bootstrap` at the root (AWS Lambda, "Building a custom
//! runtime"), which looks for its libraries in `lib` beside it.
//!
//! libtorch for x86_64 does not fit into a zip as it is. There `libtorch_cpu.so` lies compressed in it; `bootstrap` is the
//! small program, which unpacks it into `/tmp` by what [`Unpack`] says, and goes on as `bootstrap-torch`.
#![expect(clippy::disallowed_methods, reason = "reads binaries")]

use crate::archive::{File, Files, unpacked};
use crate::elf::{self, Needs};
use crate::limits::{SYSTEM, TEMPORARY, UNPACKED};
use crate::{Architecture, PackageError, libraries, strip};
use std::path::Path;
use stepgrad_contract::digest::sha256;
use stepgrad_contract::unpack::{FILE, Library, PROGRAM, Unpack, VERSION};

/// The library that is compressed where it does not fit.
const LARGE: &str = "libtorch_cpu.so";
/// zstd's: beyond it, a second of packing gains a few kilobytes.
const LEVEL: i32 = 9;

/// The package of the functions that need no libtorch.
///
/// # Errors
/// Where the binary is not one for Lambda, or links more than Lambda has.
pub fn light(binary: &Path, architecture: Architecture) -> Result<Files, PackageError> {
    let (program, needs) = program(binary, architecture)?;
    match needs.libraries.iter().find(|library| !SYSTEM.contains(&library.as_str())) {
        Some(library) => Err(PackageError::NotLight { path: binary.to_owned(), library: library.clone() }),
        None => Ok(Files::from([("bootstrap".to_owned(), program)])),
    }
}

/// The package of the functions that need libtorch, whose libraries are in the folder `libraries`; `light` is the small
/// binary, which unpacks what would not fit otherwise.
///
/// # Errors
/// Where a file is not one for Lambda, a library is missing, or it does not fit either way.
pub fn torch(
    binary: &Path,
    light: &Path,
    libraries: &Path,
    architecture: Architecture,
) -> Result<Files, PackageError> {
    let whole = whole(binary, libraries, architecture)?;
    match unpacked(&whole) <= UNPACKED {
        true => Ok(whole),
        false => compressed(whole, light, architecture),
    }
}

/// The program with its libraries as they are.
pub(crate) fn whole(
    binary: &Path,
    libraries: &Path,
    architecture: Architecture,
) -> Result<Files, PackageError> {
    let (program, needs) = program(binary, architecture)?;
    let found = libraries::closure(binary, &needs, libraries, architecture)?;
    let mut files: Files =
        found.into_iter().map(|(name, bytes)| (format!("lib/{name}"), File::data(bytes))).collect();
    files.insert("bootstrap".to_owned(), program);
    Ok(files)
}

fn compressed(mut files: Files, launcher: &Path, architecture: Architecture) -> Result<Files, PackageError> {
    let name = format!("lib/{LARGE}");
    if let Some(library) = files.remove(&name) {
        let bytes = library.bytes.len() as u64;
        if bytes > TEMPORARY {
            return Err(PackageError::Size {
                name: LARGE.to_owned(),
                bytes,
                how: "",
                limit: TEMPORARY,
                hint: "a function's /tmp holds no more; use a container image",
            });
        }
        let packed = zstd::stream::encode_all(library.bytes.as_slice(), LEVEL)
            .map_err(|error| PackageError::Compress(LARGE.to_owned(), error))?;
        let file = format!("{name}.zst");
        let unpack = Unpack {
            version: VERSION,
            libraries: vec![Library {
                file: file.clone(),
                name: LARGE.to_owned(),
                bytes,
                sha256: sha256(&library.bytes),
            }],
        };
        files.insert(file, File { is_compressed: true, ..File::data(packed) });
        if let Some(program) = files.remove("bootstrap") {
            files.insert(PROGRAM.to_owned(), program);
        }
        files.extend(light(launcher, architecture)?);
        // Serialising numbers and strings cannot fail.
        files.insert(FILE.to_owned(), File::data(serde_json::to_vec(&unpack).unwrap_or_default()));
    }
    match unpacked(&files) {
        bytes if bytes > UNPACKED => Err(PackageError::Size {
            name: "the zip with libtorch".to_owned(),
            bytes,
            how: " unpacked",
            limit: UNPACKED,
            hint: "use a container image",
        }),
        _ => Ok(files),
    }
}

/// A program without debug symbols, and what it asks for.
fn program(path: &Path, architecture: Architecture) -> Result<(File, Needs), PackageError> {
    let bytes = std::fs::read(path).map_err(|error| PackageError::File {
        what: "read",
        path: path.to_owned(),
        error,
    })?;
    let needs = elf::check(path, &bytes, architecture)?;
    let bytes = match needs.has_debug_symbols {
        true => strip::stripped(path, architecture)?,
        false => bytes,
    };
    Ok((File::program(bytes), needs))
}
