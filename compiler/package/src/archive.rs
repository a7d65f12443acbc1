//! Zips whose bytes depend on nothing but their files: names in order, one date, the permissions that are given.

use crate::PackageError;
use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

/// A file of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// What is in it.
    pub bytes: Vec<u8>,
    /// Whether it is a program.
    pub is_program: bool,
    /// Whether it would not get smaller.
    pub is_compressed: bool,
}

impl File {
    /// A file that can be run.
    #[must_use]
    pub const fn program(bytes: Vec<u8>) -> Self {
        Self { bytes, is_program: true, is_compressed: false }
    }

    /// A file that is read.
    #[must_use]
    pub const fn data(bytes: Vec<u8>) -> Self {
        Self { bytes, is_program: false, is_compressed: false }
    }

    /// Its permissions: Lambda runs functions as another user than the one who owns them.
    #[must_use]
    pub const fn mode(&self) -> u32 {
        if self.is_program { 0o755 } else { 0o644 }
    }
}

/// The files of a package by path, with slashes.
pub type Files = BTreeMap<String, File>;

/// Bytes of all files.
#[must_use]
pub fn unpacked(files: &Files) -> u64 {
    files.values().map(|file| file.bytes.len() as u64).sum()
}

/// The zip of these files.
///
/// # Errors
/// [`PackageError::Zip`] for a name or a size that no zip holds.
pub fn zip(files: &Files) -> Result<Vec<u8>, PackageError> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (path, file) in files {
        let options = SimpleFileOptions::default()
            // A zip's first day; times of files would differ from machine to machine.
            .last_modified_time(DateTime::default())
            .unix_permissions(file.mode());
        let options = match file.is_compressed {
            true => options.compression_method(CompressionMethod::Stored),
            false => options.compression_method(CompressionMethod::Deflated).compression_level(Some(9)),
        };
        writer.start_file(path.as_str(), options)?;
        writer.write_all(&file.bytes).map_err(zip::result::ZipError::from)?;
    }
    Ok(writer.finish()?.into_inner())
}

#[cfg(test)]
mod tests {
    use super::{File, Files, zip};
    use std::io::{Cursor, Read};

    #[test]
    fn a_zip_holds_names_permissions_and_one_date() {
        let files = Files::from([
            ("lib/x.so".to_owned(), File::data(vec![7; 100_000])),
            ("bootstrap".to_owned(), File::program(b"program".to_vec())),
            ("x.zst".to_owned(), File { is_compressed: true, ..File::data(vec![1, 2, 3]) }),
        ]);
        let bytes = zip(&files).unwrap();
        assert_eq!(zip(&files).unwrap(), bytes);
        assert!(bytes.len() < 2_000);
        let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
        let mut found = Vec::new();
        for place in 0..archive.len() {
            let mut entry = archive.by_index(place).unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            let name = entry.name().unwrap().into_owned();
            assert_eq!(content, files[&name].bytes);
            assert_eq!(entry.last_modified().unwrap(), zip::DateTime::default());
            found.push((name, entry.unix_mode().unwrap() & 0o777));
        }
        let wanted = [("bootstrap", 0o755), ("lib/x.so", 0o644), ("x.zst", 0o644)];
        assert_eq!(found, wanted.map(|(name, mode)| (name.to_owned(), mode)));
    }
}
