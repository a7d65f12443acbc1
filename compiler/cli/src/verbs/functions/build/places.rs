//! Folders of this computer, whose names must not get into the binaries: rustc and gcc write the paths of sources into them (for
//! messages of panics and of failed checks), and the same sources in another folder would give other bytes.
//!
//! Sources: The rustc book, "Remap source paths"; GCC, "Options Controlling the Preprocessor", `-ffile-prefix-map`. In both the
//! last prefix that fits is taken, so a folder comes after those that it may lie in.

use super::first_line;
use crate::exit::Exit;
use crate::failure::Failure;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Between the flags of `CARGO_ENCODED_RUSTFLAGS`.
const BETWEEN: &str = "\u{1f}";

/// Each folder, with what is written in its place.
#[derive(Debug)]
pub(super) struct Places {
    all: Vec<(PathBuf, String)>,
    /// Where cargo puts what it builds.
    pub(super) target: PathBuf,
}

/// What is read of `cargo metadata`.
#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Crate>,
    workspace_root: PathBuf,
    target_directory: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Crate {
    /// Absent for the crates of the workspace.
    source: Option<String>,
    manifest_path: PathBuf,
}

impl Places {
    /// The folders that cargo names for the workspace, as `metadata` tells, and the compiler's own.
    pub(super) fn of(metadata: &[u8]) -> Result<Self, Failure> {
        let metadata: Metadata = serde_json::from_slice(metadata).map_err(|error| {
            Failure::new(Exit::Internal, format!("`cargo metadata` said what is not understood: {error}"))
        })?;
        let mut all = Vec::new();
        // The standard library is compiled with such a name; where its sources are installed, rustc shows those.
        if let (Some(root), Some(commit)) = (first_line("rustc", &["--print", "sysroot"]), commit()) {
            all.push((Path::new(&root).join("lib/rustlib/src/rust"), format!("/rustc/{commit}")));
        }
        all.push((metadata.workspace_root, "/stepgrad".to_owned()));
        let crates = metadata.packages.iter().filter(|found| found.source.is_some());
        let folders: BTreeSet<&Path> =
            crates.filter_map(|found| found.manifest_path.parent()?.parent()).collect();
        all.extend(folders.into_iter().map(|folder| (folder.to_owned(), "/crates".to_owned())));
        all.push((metadata.target_directory.clone(), "/target".to_owned()));
        Ok(Self { all, target: metadata.target_directory })
    }

    /// For `CARGO_ENCODED_RUSTFLAGS`.
    pub(super) fn rustflags(&self) -> String {
        let flags = self.all.iter();
        let flags = flags.map(|(folder, name)| format!("--remap-path-prefix={}={name}", folder.display()));
        flags.collect::<Vec<_>>().join(BETWEEN)
    }

    /// For `CFLAGS`, quoted as a shell takes it; `more` is another such folder.
    pub(super) fn cflags(&self, more: Option<(&Path, &str)>) -> String {
        let all = self.all.iter().map(|(folder, name)| (folder.as_path(), name.as_str())).chain(more);
        let flags = all.map(|(folder, name)| {
            let quoted = folder.display().to_string().replace('\'', r"'\''");
            format!("'-ffile-prefix-map={quoted}={name}'")
        });
        flags.collect::<Vec<_>>().join(" ")
    }
}

/// The commit that rustc was made of.
fn commit() -> Option<String> {
    let said = super::said("rustc", &["--version", "--verbose"])?;
    said.lines().find_map(|line| line.strip_prefix("commit-hash: ").map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::Places;
    use std::path::Path;

    #[test]
    fn folders_are_named_from_the_outside_to_the_inside() {
        let metadata = br#"{"workspace_root": "/home/o'neill/step grad", "target_directory": "/home/o'neill/step grad/target",
            "packages": [
                {"source": null, "manifest_path": "/home/o'neill/step grad/runtime/functions/Cargo.toml"},
                {"source": "registry+x", "manifest_path": "/cargo/registry/src/index-1/tch-0.26.0/Cargo.toml"},
                {"source": "registry+x", "manifest_path": "/cargo/registry/src/index-1/zip-9.0.0/Cargo.toml"}]}"#;
        let places = Places::of(metadata).unwrap();
        let rustflags = places.rustflags();
        let flags: Vec<&str> = rustflags.split('\u{1f}').collect();
        let own = &flags[flags.len() - 3..];
        assert_eq!(
            own,
            [
                "--remap-path-prefix=/home/o'neill/step grad=/stepgrad",
                "--remap-path-prefix=/cargo/registry/src/index-1=/crates",
                "--remap-path-prefix=/home/o'neill/step grad/target=/target",
            ]
        );
        let cflags = places.cflags(Some((Path::new("/opt/libtorch"), "/libtorch")));
        assert!(
            cflags.ends_with(
                r"'-ffile-prefix-map=/home/o'\''neill/step grad=/stepgrad' '-ffile-prefix-map=/cargo/registry/src/index-1=/crates' '-ffile-prefix-map=/home/o'\''neill/step grad/target=/target' '-ffile-prefix-map=/opt/libtorch=/libtorch'"
            ),
            "{cflags}"
        );
        assert!(Places::of(b"{}").is_err());
    }
}
