//! `stepgrad compile SPEC`: the bundle of a spec, as files or to stdout.

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::project::{Loaded, SpecArgs};
use crate::show::bounds;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use stepgrad_compiler::bundle::{Bundle, Index};

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
            "diagnostics": loaded.findings(),
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

/// Writes the bundle beside `out` and renames it into place. An older bundle there is put aside until the new one
/// stands; whatever else is there is refused.
#[expect(clippy::disallowed_methods, reason = "the verb writes files")]
pub(crate) fn write(bundle: &Bundle, out: &Path) -> Result<(), Failure> {
    let Some(name) = out.file_name().and_then(|name| name.to_str()) else {
        let what = format!("{} does not name a folder to write: name one, e.g. --out bundle", out.display());
        return Err(Failure::new(Exit::Usage, what));
    };
    let there = out.symlink_metadata().is_ok();
    if there {
        replaceable(out)?;
    }
    let beside = |what: &str| out.with_file_name(format!(".{name}.{what}-{}", std::process::id()));
    let (partial, old) = (beside("partial"), beside("old"));
    let written = (|| {
        for (path, bytes) in &bundle.files {
            let file = partial.join(path);
            if let Some(folder) = file.parent() {
                std::fs::create_dir_all(folder).map_err(|error| Failure::file("create", folder, &error))?;
            }
            std::fs::write(&file, bytes).map_err(|error| Failure::file("write", &file, &error))?;
        }
        if there {
            std::fs::rename(out, &old).map_err(|error| Failure::file("replace", out, &error))?;
        }
        std::fs::rename(&partial, out).map_err(|error| {
            if there {
                // The older bundle is better than none.
                let _ = std::fs::rename(&old, out);
            }
            Failure::file("write", out, &error)
        })
    })();
    // What is left of the attempt, or of the older bundle, is of no use to anyone.
    let _ = std::fs::remove_dir_all(if written.is_ok() { &old } else { &partial });
    written
}

/// Refuses a place that holds anything but an older bundle.
#[expect(clippy::disallowed_methods, reason = "the verb writes files")]
fn replaceable(out: &Path) -> Result<(), Failure> {
    let refuse = |why: String| {
        Err(Failure::new(Exit::Usage, format!("{} {why}; name another folder with --out", out.display())))
    };
    if !out.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()) {
        return refuse("is there and is not a folder".to_owned());
    }
    let index = std::fs::read(out.join("bundle.json")).ok();
    let index: Option<Index> = index.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let own: Vec<PathBuf> = index
        .iter()
        .flat_map(|index| index.machines.iter().map(|machine| machine.file.as_str()))
        .chain(index.iter().flat_map(|_| ["bundle.json", "spec.json", "training.json"]))
        .map(|file| out.join(file))
        .collect();
    let mut folders = vec![out.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).map_err(|error| Failure::file("read", &folder, &error))?;
        for entry in entries {
            let entry = entry.map_err(|error| Failure::file("read", &folder, &error))?;
            let path = entry.path();
            if own.iter().any(|file| file.starts_with(&path) && *file != path) {
                folders.push(path);
            } else if !own.contains(&path) {
                return refuse(format!("holds {}, which is of no bundle", path.display()));
            }
        }
    }
    Ok(())
}
