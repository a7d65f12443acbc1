//! `stepgrad compile SPEC`: the bundle of a spec, as files or to stdout.

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::project::{Loaded, SpecArgs};
use crate::show::bounds;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use stepgrad_compiler::bundle::Bundle;

/// What it takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    spec: SpecArgs,
    /// The folder that the bundle is written to; `-` writes one JSON document to stdout.
    #[arg(long, value_name = "DIR", default_value = "bundle")]
    out: PathBuf,
    /// Show every limit's worst case, what was chosen and why.
    #[arg(long)]
    explain: bool,
}

pub(crate) fn run(args: &Args, format: Format) -> Result<(), Failure> {
    let loaded = Loaded::load(&args.spec, format)?;
    let compiled = loaded.compile(&args.spec, format)?;
    let to_stdout = args.out == Path::new("-");
    if to_stdout {
        output::data(&format!("{:#}\n", document(&compiled.bundle)?));
    } else {
        write(&compiled.bundle, &args.out)?;
    }
    if format == Format::Json && !to_stdout {
        let files: Vec<_> = compiled.bundle.files.keys().collect();
        output::json(&json!({
            "version": 1, "out": args.out, "files": files, "bounds": compiled.bounds,
            "diagnostics": loaded.findings(&compiled.warnings),
        }));
        return Ok(());
    }
    if args.explain {
        output::say(&bounds::text(&compiled.bounds));
    }
    if !to_stdout {
        let bytes: usize = compiled.bundle.files.values().map(Vec::len).sum();
        let files = compiled.bundle.files.len();
        output::say(&format!("wrote {files} files, {bytes} bytes, to {}", args.out.display()));
    }
    Ok(())
}

/// All files in one document: JSON as JSON.
fn document(bundle: &Bundle) -> Result<Value, Failure> {
    let mut files = Map::new();
    for (path, bytes) in &bundle.files {
        let value = serde_json::from_slice(bytes).map_err(|error| {
            Failure::new(Exit::Internal, format!("{path} of the bundle is not JSON: {error}"))
        })?;
        files.insert(path.clone(), value);
    }
    Ok(json!({"version": 1, "files": files}))
}

/// Writes the bundle beside `out` and renames it into place, so that it is there whole or not at all.
#[expect(clippy::disallowed_methods, reason = "the verb writes files")]
pub(crate) fn write(bundle: &Bundle, out: &Path) -> Result<(), Failure> {
    if out.exists() && !out.join("bundle.json").is_file() && !is_empty(out) {
        let what = format!("{} is there and is not a bundle; name another folder with --out", out.display());
        return Err(Failure::new(Exit::Usage, what));
    }
    let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = out.file_name().and_then(|name| name.to_str()).unwrap_or("bundle");
    let partial = parent.join(format!(".{name}.partial-{}", std::process::id()));
    let result = (|| {
        for (path, bytes) in &bundle.files {
            let file = partial.join(path);
            if let Some(folder) = file.parent() {
                std::fs::create_dir_all(folder).map_err(|error| Failure::file("create", folder, &error))?;
            }
            std::fs::write(&file, bytes).map_err(|error| Failure::file("write", &file, &error))?;
        }
        if out.exists() {
            std::fs::remove_dir_all(out).map_err(|error| Failure::file("replace", out, &error))?;
        }
        std::fs::rename(&partial, out).map_err(|error| Failure::file("write", out, &error))
    })();
    if result.is_err() {
        // What is left of the attempt is of no use to anyone.
        let _ = std::fs::remove_dir_all(&partial);
    }
    result
}

#[expect(clippy::disallowed_methods, reason = "the verb writes files")]
fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}
