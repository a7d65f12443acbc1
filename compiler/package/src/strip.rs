//! Takes debug symbols out of binaries, by binutils. A binary that has none is left as it is.
#![expect(clippy::disallowed_methods, reason = "binutils is a process, and reads files")]

use crate::{Architecture, PackageError};
use std::path::Path;
use std::process::Command;

/// Variables that nothing but the search for programs needs.
const PATH: &str = "PATH";

/// The bytes of the file at `path` without what only a debugger reads.
pub(crate) fn stripped(path: &Path, architecture: Architecture) -> Result<Vec<u8>, PackageError> {
    let tools: &[&str] = match (architecture, Architecture::of_this_machine()) {
        (wanted, Some(own)) if wanted == own => &["strip", "llvm-strip"],
        (Architecture::Arm64, _) => &["aarch64-linux-gnu-strip", "llvm-strip"],
        (Architecture::X86, _) => &["x86_64-linux-gnu-strip", "llvm-strip"],
    };
    let file = |what| move |error| PackageError::File { what, path: path.to_owned(), error };
    let folder = tempfile::tempdir().map_err(file("copy"))?;
    let copy = folder.path().join("stripped");
    let mut why = "none of them is installed".to_owned();
    for tool in tools {
        let mut command = Command::new(tool);
        command.env_clear().envs(std::env::var_os(PATH).map(|value| (PATH, value)));
        command.arg("--strip-all").arg("-o").arg(&copy).arg(path);
        match command.output() {
            Ok(output) if output.status.success() => return std::fs::read(&copy).map_err(file("read")),
            Ok(output) => why = String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(_) => {}
        }
    }
    Err(PackageError::Strip { path: path.to_owned(), tool: tools.join("`, `"), why, architecture })
}
