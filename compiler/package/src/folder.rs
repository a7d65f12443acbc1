//! The folder of packages: the zips, and `package.json`, which says what each is for.
#![expect(clippy::disallowed_methods, reason = "writes packages")]

use crate::archive::{self, Files};
use crate::{Architecture, PackageError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use stepgrad_contract::digest::sha256;

/// The file that says what is in the folder.
pub const INDEX: &str = "package.json";
/// The version of [`Index`].
const VERSION: u32 = 1;

/// `package.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// 1.
    pub version: u32,
    /// What the packages are for.
    pub architecture: Architecture,
    /// The packages by the artefact that a function names.
    pub packages: BTreeMap<String, Packaged>,
}

/// A package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packaged {
    /// Its file, a zip, or its folder, the context of an image.
    pub file: String,
    /// Of a zip's bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Bytes of the zip, or of all files of an image.
    pub bytes: u64,
    /// Bytes of all files.
    pub unpacked_bytes: u64,
}

/// What is written for an artefact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Package {
    /// A zip.
    Zip(Vec<u8>, u64),
    /// The context of an image.
    Image(Files),
}

impl Package {
    /// The zip of these files, if it has no more than `limit` bytes.
    ///
    /// # Errors
    /// [`PackageError::Size`], and as [`archive::zip`].
    pub fn zip(name: &str, files: &Files, limit: u64) -> Result<Self, PackageError> {
        let zip = archive::zip(files)?;
        match zip.len() as u64 {
            bytes if bytes > limit => Err(PackageError::Size {
                name: format!("{name}.zip"),
                bytes,
                how: "",
                limit,
                hint: "build it in release with `stepgrad functions build`",
            }),
            _ => Ok(Self::Zip(zip, archive::unpacked(files))),
        }
    }
}

/// Writes packages into `folder`, which is made where it is missing; files of the same names that an older package left are
/// replaced, each at once; anything else in it is refused.
///
/// # Errors
/// [`PackageError::Occupied`], or [`PackageError::File`] where the folder cannot be written.
pub fn write(
    folder: &Path,
    architecture: Architecture,
    packages: &BTreeMap<String, Package>,
) -> Result<Index, PackageError> {
    let failed = |what: &'static str, path: &Path| {
        let path = path.to_owned();
        move |error| PackageError::File { what, path, error }
    };
    std::fs::create_dir_all(folder).map_err(failed("create", folder))?;
    occupied(folder)?;
    // Without it, what is there is half of an older package and half of a newer one.
    let index_path = folder.join(INDEX);
    match std::fs::remove_file(&index_path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(failed("replace", &index_path)(error));
        }
        _ => {}
    }
    let mut index = Index { version: VERSION, architecture, packages: BTreeMap::new() };
    for (name, package) in packages {
        let packaged = match package {
            Package::Zip(bytes, unpacked_bytes) => {
                let file = format!("{name}.zip");
                put(&folder.join(&file), bytes, 0o644)?;
                Packaged {
                    file,
                    sha256: Some(sha256(bytes)),
                    bytes: bytes.len() as u64,
                    unpacked_bytes: *unpacked_bytes,
                }
            }
            Package::Image(files) => {
                let file = format!("{name}-image");
                // A library of the package before would go into the image.
                match std::fs::remove_dir_all(folder.join(&file)) {
                    Err(error) if error.kind() != ErrorKind::NotFound => {
                        return Err(failed("replace", &folder.join(&file))(error));
                    }
                    _ => {}
                }
                for (path, content) in files {
                    put(&folder.join(&file).join(path), &content.bytes, content.mode())?;
                }
                let bytes = archive::unpacked(files);
                Packaged { file, sha256: None, bytes, unpacked_bytes: bytes }
            }
        };
        index.packages.insert(name.clone(), packaged);
    }
    // Serialising numbers and strings cannot fail.
    let mut bytes = serde_json::to_vec_pretty(&index).unwrap_or_default();
    bytes.push(b'\n');
    put(&index_path, &bytes, 0o644)?;
    Ok(index)
}

/// What [`write`] left in `folder`, for who uploads it: whole, for this processor, and the very bytes that were checked when they
/// were packaged.
///
/// # Errors
/// [`PackageError::Index`] for a folder of no packages, or of half of them; [`PackageError::Architecture`] for another processor;
/// [`PackageError::Changed`] for a zip that was written by someone else; [`PackageError::File`] for what cannot be read.
pub fn read(folder: &Path, architecture: Architecture) -> Result<Index, PackageError> {
    let path = folder.join(INDEX);
    let wrong = |why: String| PackageError::Index { path: path.clone(), why };
    let bytes = std::fs::read(&path).map_err(|error| wrong(error.to_string()))?;
    let index: Index = serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
    if index.version != VERSION {
        return Err(wrong(format!("it has version {}", index.version)));
    }
    if index.architecture != architecture {
        let found = index.architecture.to_string();
        return Err(PackageError::Architecture { path, found, wanted: architecture });
    }
    for (name, packaged) in &index.packages {
        // Only what `write` could have named: a file of this very folder.
        let Some(digest) = packaged.sha256.as_ref().filter(|_| packaged.file == format!("{name}.zip")) else {
            if packaged.file == format!("{name}-image") && packaged.sha256.is_none() {
                continue;
            }
            return Err(wrong(format!("{} is no package of {name}", packaged.file)));
        };
        let file = folder.join(&packaged.file);
        let failed = |error| PackageError::File { what: "read", path: file.clone(), error };
        let size = std::fs::metadata(&file).map_err(failed)?.len();
        if size != packaged.bytes || sha256(&std::fs::read(&file).map_err(failed)?) != *digest {
            return Err(PackageError::Changed { path: file, index: path });
        }
    }
    Ok(index)
}

/// Refuses a folder that holds anything but packages.
fn occupied(folder: &Path) -> Result<(), PackageError> {
    let failed = |error| PackageError::File { what: "read", path: folder.to_owned(), error };
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let found = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
        let own = found == INDEX
            || (found.starts_with("bootstrap") && (found.ends_with(".zip") || found.ends_with("-image")))
            || found.starts_with(".bootstrap")
            || found.starts_with(&format!(".{INDEX}.partial-"));
        if !own {
            return Err(PackageError::Occupied { folder: folder.to_owned(), found });
        }
    }
    Ok(())
}

/// Writes a file beside its place and renames it into it.
fn put(path: &Path, bytes: &[u8], mode: u32) -> Result<(), PackageError> {
    use std::os::unix::fs::PermissionsExt;
    let failed = |error| PackageError::File { what: "write", path: path.to_owned(), error };
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let partial = path.with_file_name(format!(".{name}.partial-{}", std::process::id()));
    let written = (|| {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&partial, bytes)?;
        std::fs::set_permissions(&partial, std::fs::Permissions::from_mode(mode))?;
        std::fs::rename(&partial, path)
    })();
    if written.is_err() {
        // What is left of the attempt is of no use to anyone.
        let _ = std::fs::remove_file(&partial);
    }
    written.map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::{INDEX, Package, Packaged, read, write};
    use crate::archive::{File, Files};
    use crate::{Architecture, PackageError};
    use std::collections::BTreeMap;

    #[test]
    fn what_was_written_is_read_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let files = Files::from([("bootstrap".to_owned(), File::program(b"program".to_vec()))]);
        let package = |limit| Package::zip("bootstrap-light", &files, limit);
        // What an earlier attempt left is in nobody's way, and nothing of it gets into an image.
        std::fs::create_dir_all(folder.join("bootstrap-image/lib")).unwrap();
        for left in [".package.json.partial-1", "bootstrap-image/lib/old.so"] {
            std::fs::write(folder.join(left), "").unwrap();
        }
        assert!(matches!(package(9), Err(PackageError::Size { limit: 9, .. })));
        let packages = BTreeMap::from([
            ("bootstrap-light".to_owned(), package(1_000).unwrap()),
            ("bootstrap".to_owned(), Package::Image(files.clone())),
        ]);
        assert!(matches!(read(folder, Architecture::X86), Err(PackageError::Index { .. })), "nothing there");
        let written = write(folder, Architecture::X86, &packages).unwrap();
        assert_eq!(read(folder, Architecture::X86).unwrap(), written);
        assert!(!folder.join("bootstrap-image/lib").exists());
        let light = &written.packages["bootstrap-light"];
        assert_eq!((light.file.as_str(), light.unpacked_bytes), ("bootstrap-light.zip", 7));
        assert!(matches!(read(folder, Architecture::Arm64), Err(PackageError::Architecture { .. })));

        let zip = folder.join("bootstrap-light.zip");
        let mut bytes = std::fs::read(&zip).unwrap();
        bytes[40] ^= 1;
        std::fs::write(&zip, &bytes).unwrap();
        assert!(matches!(read(folder, Architecture::X86), Err(PackageError::Changed { .. })));
        std::fs::write(&zip, &bytes[1..]).unwrap();
        assert!(matches!(read(folder, Architecture::X86), Err(PackageError::Changed { .. })));

        let elsewhere = Packaged { file: "../x.zip".to_owned(), ..light.clone() };
        let mut index = written.clone();
        index.packages.insert("bootstrap".to_owned(), elsewhere);
        std::fs::write(folder.join(INDEX), serde_json::to_vec(&index).unwrap()).unwrap();
        let refused = read(folder, Architecture::X86).unwrap_err();
        assert!(matches!(&refused, PackageError::Index { why, .. } if why.contains("../x.zip")), "{refused}");
    }
}
