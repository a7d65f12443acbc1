//! Unpacks the libraries that lie compressed in a package ([`stepgrad_contract::unpack`]), where no program can be loaded with them,
//! and goes on as the program that needs them. Once for each execution environment: a process that is started again in it finds
//! them there, whole, because they are renamed into place.
#![expect(
    clippy::disallowed_methods,
    reason = "reads the package, writes into /tmp, and becomes another program"
)]

use nix::unistd::Uid;
use sha2::{Digest, Sha256};
use std::ffi::{OsStr, OsString};
use std::fs::{DirBuilder, File};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use stepgrad_contract::unpack::{FILE, Library, PROGRAM, Unpack, VERSION};

/// The dynamic linker's variable.
const LIBRARIES: &str = "LD_LIBRARY_PATH";
/// Bytes of a library at the most: a function's `/tmp` (AWS Lambda, "Lambda quotas").
const LARGEST: u64 = 512 << 20;
/// Bytes of `unpack.json` at the most.
const DESCRIPTION: u64 = 1 << 16;
const CHUNK: usize = 1 << 20;

/// Why a package cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// A file of the package or of `/tmp`.
    #[error("cannot {0} {path}: {2}", path = .1.display())]
    File(&'static str, PathBuf, std::io::Error),
    /// Not what this build writes.
    #[error("{path} is not of this build: {1}; package the functions anew", path = .0.display())]
    Description(PathBuf, String),
    /// Other bytes than were packed.
    #[error("{path} does not unpack to what was packed: {1}; package the functions anew", path = .0.display())]
    Damaged(PathBuf, String),
    /// Somebody else's folder is in the place.
    #[error("{path} is another user's: set TMPDIR to a folder of your own", path = .0.display())]
    Foreign(PathBuf),
}

/// Where this program's package has compressed libraries, unpacks them into the folder that the variable `TMPDIR` names, or
/// `/tmp`, and becomes the program that needs them; otherwise it comes back.
///
/// # Errors
/// What is wrong with the package or the folder.
pub fn go_on(get: impl Fn(&str) -> Option<OsString>) -> Result<(), UnpackError> {
    let own =
        std::env::current_exe().map_err(|error| UnpackError::File("find", "this program".into(), error))?;
    let package = own.parent().unwrap_or(Path::new("/"));
    let Some(unpack) = description(package)? else { return Ok(()) };
    let temporary = get("TMPDIR").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
    let mut folders = Vec::new();
    for library in &unpack.libraries {
        let folder = library_folder(package, library, &temporary)?;
        folders.push(folder.into_os_string());
    }
    folders.push(package.join("lib").into_os_string());
    folders.extend(get(LIBRARIES));
    let program = package.join(PROGRAM);
    // Comes back only if it fails.
    let error = Command::new(&program)
        .args(std::env::args_os().skip(1))
        .env(LIBRARIES, folders.join(OsStr::new(":")))
        .exec();
    Err(UnpackError::File("start", program, error))
}

/// What the package says; `None` where nothing in it is compressed.
fn description(package: &Path) -> Result<Option<Unpack>, UnpackError> {
    let path = package.join(FILE);
    let file = match File::open(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|error| UnpackError::File("read", path.clone(), error))?,
    };
    let mut text = Vec::new();
    let read = file.take(DESCRIPTION).read_to_end(&mut text);
    read.map_err(|error| UnpackError::File("read", path.clone(), error))?;
    let wrong = |why: String| UnpackError::Description(path.clone(), why);
    let unpack: Unpack = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
    if unpack.version != VERSION {
        return Err(wrong(format!("it has version {}", unpack.version)));
    }
    for library in &unpack.libraries {
        let plain = |name: &str| {
            !name.is_empty() && !name.starts_with('/') && !name.split('/').any(|part| part == "..")
        };
        let hex = library.sha256.len() == 64 && library.sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !plain(&library.file)
            || !plain(&library.name)
            || library.name.contains('/')
            || !hex
            || library.bytes > LARGEST
        {
            return Err(wrong(format!("its entry {:?} leads nowhere", library.name)));
        }
    }
    Ok(Some(unpack))
}

/// The folder below `temporary` that holds the library, unpacked.
fn library_folder(package: &Path, library: &Library, temporary: &Path) -> Result<PathBuf, UnpackError> {
    let folder = temporary.join(format!("stepgrad-{}", library.sha256));
    let path = folder.join(&library.name);
    let failed = |what: &'static str, path: &Path| {
        let path = path.to_owned();
        move |error| UnpackError::File(what, path, error)
    };
    match DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(failed("create", &folder)(error));
        }
        _ => {}
    }
    let owner = folder.symlink_metadata().map_err(failed("read", &folder))?;
    if owner.uid() != Uid::effective().as_raw() || !owner.is_dir() {
        return Err(UnpackError::Foreign(folder));
    }
    if path.symlink_metadata().is_ok_and(|there| there.is_file() && there.len() == library.bytes) {
        return Ok(folder);
    }
    let partial = folder.join(format!(".partial-{}", std::process::id()));
    let unpacked = write(&package.join(&library.file), library, &partial)
        .and_then(|()| std::fs::rename(&partial, &path).map_err(failed("write", &path)));
    if unpacked.is_err() {
        // What is left of the attempt is of no use to anyone.
        let _ = std::fs::remove_file(&partial);
    }
    unpacked.map(|()| folder)
}

/// Unpacks a library, no more of it than it should have.
fn write(packed: &Path, library: &Library, path: &Path) -> Result<(), UnpackError> {
    let damaged = |why: String| UnpackError::Damaged(packed.to_owned(), why);
    let file = File::open(packed).map_err(|error| UnpackError::File("read", packed.to_owned(), error))?;
    let reader = zstd::stream::read::Decoder::new(file);
    let mut reader =
        reader.map_err(|error| damaged(error.to_string()))?.take(library.bytes.saturating_add(1));
    let failed = |error| UnpackError::File("write", path.to_owned(), error);
    let mut file = File::create(path).map_err(failed)?;
    let (mut hasher, mut bytes, mut chunk) = (Sha256::new(), 0, vec![0; CHUNK]);
    loop {
        let read = match reader.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) => return Err(damaged(error.to_string())),
        };
        let some = chunk.get(..read).unwrap_or_default();
        hasher.update(some);
        bytes += read as u64;
        file.write_all(some).map_err(failed)?;
    }
    let digest: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    match bytes == library.bytes && digest == library.sha256 {
        true => Ok(()),
        false => Err(damaged(format!("{bytes} bytes of {}, sha256 {digest}", library.bytes))),
    }
}

#[cfg(test)]
mod tests {
    use super::{UnpackError, description, library_folder};
    use std::path::Path;
    use stepgrad_contract::digest::sha256;
    use stepgrad_contract::unpack::{FILE, Library};

    fn package(folder: &Path, content: &[u8]) -> Library {
        let packed = zstd::stream::encode_all(content, 3).unwrap();
        std::fs::write(folder.join("x.so.zst"), packed).unwrap();
        let (file, name) = ("x.so.zst".to_owned(), "x.so".to_owned());
        Library { file, name, bytes: content.len() as u64, sha256: sha256(content) }
    }

    #[test]
    fn a_library_is_unpacked_once() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let library = package(one.path(), &[7; 3_000_000]);
        let folder = library_folder(one.path(), &library, other.path()).unwrap();
        assert_eq!(std::fs::read(folder.join("x.so")).unwrap(), [7; 3_000_000]);
        // The second start needs the package no more.
        std::fs::remove_file(one.path().join("x.so.zst")).unwrap();
        assert_eq!(library_folder(one.path(), &library, other.path()).unwrap(), folder);
        // A library that was cut is unpacked again.
        std::fs::write(folder.join("x.so"), b"half").unwrap();
        assert!(matches!(library_folder(one.path(), &library, other.path()), Err(UnpackError::File(..))));
    }

    #[test]
    fn what_is_not_what_was_packed_leaves_nothing() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let library = package(one.path(), &[7; 3_000_000]);
        for wrong in [
            Library { sha256: sha256(b"other"), ..library.clone() },
            Library { bytes: 2_999_999, ..library.clone() },
            Library { bytes: 3_000_001, ..library.clone() },
        ] {
            let error = library_folder(one.path(), &wrong, other.path()).unwrap_err();
            assert!(matches!(error, UnpackError::Damaged(..)), "{error}");
        }
        let packed = std::fs::read(one.path().join("x.so.zst")).unwrap();
        std::fs::write(one.path().join("x.so.zst"), &packed[..packed.len() / 2]).unwrap();
        assert!(matches!(library_folder(one.path(), &library, other.path()), Err(UnpackError::Damaged(..))));
        for entry in std::fs::read_dir(other.path()).unwrap() {
            assert_eq!(std::fs::read_dir(entry.unwrap().path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn a_description_leads_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        assert!(description(folder.path()).unwrap().is_none());
        let digest = sha256(b"");
        let entry = |file: &str, name: &str, bytes: u64| serde_json::json!({"file": file, "name": name, "bytes": bytes, "sha256": digest});
        for entry in [
            entry("../x", "x", 1),
            entry("/x", "x", 1),
            entry("x", "../x", 1),
            entry("x", "a/x", 1),
            entry("x", "", 1),
            entry("x", "x", u64::MAX),
        ] {
            let text = serde_json::json!({"version": 1, "libraries": [entry]}).to_string();
            std::fs::write(folder.path().join(FILE), text).unwrap();
            assert!(matches!(description(folder.path()), Err(UnpackError::Description(..))), "{entry}");
        }
    }
}
