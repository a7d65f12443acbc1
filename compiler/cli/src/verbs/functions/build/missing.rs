//! What a build for a processor takes: all that is not here is named before anything is compiled.
#![expect(clippy::disallowed_methods, reason = "starts tools and reads a library")]

use super::first_line;
use std::path::{Path, PathBuf};
use stepgrad_package::{Architecture, PackageError};

/// Something that is not here, with what to do about it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Missing {
    /// No cargo.
    #[error("cargo: install Rust from https://rustup.rs")]
    Cargo,
    /// No standard library for the target.
    #[error("Rust's standard library for {target}: rustup target add {target}")]
    Target {
        /// Rust's name of it.
        target: &'static str,
    },
    /// A compiler, which links too.
    #[error("the compiler {tool}: install {package} (its name on Debian and Ubuntu)")]
    Compiler {
        /// The program.
        tool: String,
        /// What it comes with.
        package: &'static str,
    },
    /// No libtorch, or none for this processor.
    #[error(
        "a libtorch for {architecture} ({why}): get one by `{way}` and name its folder with --libtorch, or build with --light-only"
    )]
    Libtorch {
        /// What it is to be for.
        architecture: Architecture,
        /// What is wrong.
        why: String,
        /// How to get one.
        way: String,
    },
}

/// What is not here and has to be.
pub(super) fn missing(architecture: Architecture, libtorch: Option<&Path>) -> Vec<Missing> {
    let mut missing = Vec::new();
    if first_line("cargo", &["--version"]).is_none() {
        missing.push(Missing::Cargo);
    }
    let target = architecture.target();
    let library = first_line("rustc", &["--print", "target-libdir", "--target", target]);
    if !library.is_some_and(|folder| Path::new(&folder).is_dir()) {
        missing.push(Missing::Target { target });
    }
    let Tools { c, cpp, package } = tools(architecture);
    for tool in [c, cpp] {
        if first_line(&tool, &["--version"]).is_none() {
            missing.push(Missing::Compiler { tool, package });
        }
    }
    if let Some(libtorch) = libtorch
        && let Err(why) = fits(libtorch, architecture)
    {
        let way = match Architecture::of_this_machine() == Some(architecture) {
            true => "make setup".to_owned(),
            false => format!("python3 setup/libtorch.py --arch {architecture} DIR"),
        };
        missing.push(Missing::Libtorch { architecture, why, way });
    }
    missing
}

/// Whether there is a libtorch for the processor in the folder.
fn fits(libtorch: &Path, architecture: Architecture) -> Result<(), String> {
    let path: PathBuf = libtorch.join("lib/libtorch_cpu.so");
    let bytes = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    match stepgrad_package::elf::check(&path, &bytes, architecture) {
        Err(PackageError::Architecture { found, .. }) => {
            Err(format!("the one in {} is for {found}", libtorch.display()))
        }
        other => other.map(drop).map_err(|error| error.to_string()),
    }
}

/// Compilers for a processor, and the package of Debian and Ubuntu that they come with.
pub(super) struct Tools {
    pub(super) c: String,
    pub(super) cpp: String,
    package: &'static str,
}

pub(super) fn tools(architecture: Architecture) -> Tools {
    let named =
        |prefix: &str, package| Tools { c: format!("{prefix}gcc"), cpp: format!("{prefix}g++"), package };
    match (architecture, Architecture::of_this_machine()) {
        (wanted, Some(own)) if wanted == own => named("", "g++"),
        (Architecture::Arm64, _) => named("aarch64-linux-gnu-", "g++-aarch64-linux-gnu"),
        (Architecture::X86, _) => named("x86_64-linux-gnu-", "g++-x86-64-linux-gnu"),
    }
}
