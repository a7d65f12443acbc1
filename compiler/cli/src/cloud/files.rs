//! Which files of this computer a deployment takes.
#![expect(clippy::disallowed_methods, reason = "looks for the user's files")]

use crate::exit::Exit;
use crate::failure::Failure;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use stepgrad_compiler::bundle::Bundle;
use stepgrad_contract::training::Validation;
use stepgrad_deploy::Files;
use stepgrad_package::Architecture;

/// How a zip begins.
const ZIP: &[u8] = b"PK\x03\x04";

/// The definitions, the packages that the command line names, and the data that the spec names below `root`.
pub(super) fn of(bundle: &Bundle, root: &Path, packages: &[String]) -> Result<Files, Failure> {
    Ok(Files {
        definitions: definitions(bundle),
        packages: self::packages(bundle, packages)?,
        data: data(bundle, root)?,
    })
}

/// The definitions, by the state machine's name.
pub(super) fn definitions(bundle: &Bundle) -> BTreeMap<String, String> {
    bundle.machines.iter().map(|machine| (machine.name.clone(), machine.text.clone())).collect()
}

/// The data that the spec names below `root`, by paths of the spec.
pub(crate) fn data(bundle: &Bundle, root: &Path) -> Result<BTreeMap<String, PathBuf>, Failure> {
    let mut data = BTreeMap::new();
    let held_out = match &bundle.training.data.validation {
        Some(Validation::Source(source)) => Some(source),
        _ => None,
    };
    for source in [Some(&bundle.training.data.source), held_out].into_iter().flatten() {
        if !source.is_empty() {
            add(&mut data, root, source)?;
        }
    }
    Ok(data)
}

/// A file, or the files directly in a folder, as the functions read them.
fn add(data: &mut BTreeMap<String, PathBuf>, root: &Path, source: &str) -> Result<(), Failure> {
    let path = root.join(source);
    let failed = |error: &std::io::Error| Failure::file("read", &path, error);
    if !std::fs::metadata(&path).map_err(|error| failed(&error))?.is_dir() {
        data.insert(source.to_owned(), path);
        return Ok(());
    }
    for entry in std::fs::read_dir(&path).map_err(|error| failed(&error))? {
        let entry = entry.map_err(|error| failed(&error))?;
        let Ok(name) = entry.file_name().into_string() else {
            let what = format!("{} is not UTF-8, and keys of objects are: rename it", entry.path().display());
            return Err(Failure::new(Exit::Usage, what));
        };
        if entry.path().is_file() {
            let key = if source == "." { name } else { format!("{source}/{name}") };
            data.insert(key, entry.path());
        }
    }
    Ok(())
}

/// The zip of each function: of a folder of packages the one of its kind, or one for all; but for those that are named.
fn packages(bundle: &Bundle, given: &[String]) -> Result<BTreeMap<String, PathBuf>, Failure> {
    let handlers: Vec<&str> = bundle.index.functions.iter().map(|entry| entry.handler.as_str()).collect();
    let (mut general, mut named) = (BTreeMap::new(), BTreeMap::new());
    for text in given {
        match text.split_once('=') {
            Some((name, path)) if handlers.contains(&name) => {
                named.insert(name.to_owned(), zip(path)?);
            }
            Some((name, _)) if !name.contains('/') => {
                let what =
                    format!("{name} is not a function of this training: it has {}", handlers.join(", "));
                return Err(Failure::new(Exit::Usage, what));
            }
            _ if Path::new(text).is_dir() => general = folder(bundle, Path::new(text))?,
            _ => {
                let path = zip(text)?;
                general = handlers.iter().map(|handler| ((*handler).to_owned(), path.clone())).collect();
            }
        }
    }
    general.extend(named);
    Ok(general)
}

/// The zips that `functions package` left in `folder`, by function.
fn folder(bundle: &Bundle, folder: &Path) -> Result<BTreeMap<String, PathBuf>, Failure> {
    // All functions of a training are for one processor.
    let architecture =
        bundle.index.functions.first().and_then(|entry| Architecture::from_name(&entry.architecture));
    let architecture = architecture
        .ok_or_else(|| Failure::new(Exit::Invalid, "the bundle names no processor of Lambda's"))?;
    let index = stepgrad_package::read(folder, architecture)?;
    let mut zips = BTreeMap::new();
    for entry in &bundle.index.functions {
        let packaged = index.packages.get(entry.artefact.name());
        let Some(packaged) = packaged.filter(|packaged| packaged.sha256.is_some()) else {
            let what = format!(
                "{} holds no zip for {}: run `stepgrad functions package` without --light-only and --image",
                folder.display(),
                entry.name
            );
            return Err(Failure::new(Exit::Usage, what));
        };
        zips.insert(entry.handler.clone(), folder.join(&packaged.file));
    }
    Ok(zips)
}

fn zip(path: &str) -> Result<PathBuf, Failure> {
    let path = PathBuf::from(path);
    let mut start = [0; 4];
    let read = std::fs::File::open(&path).and_then(|mut file| file.read_exact(&mut start));
    match read {
        Ok(()) if start == ZIP => Ok(path),
        Ok(()) => Err(Failure::new(Exit::Usage, format!("{} is not a zip", path.display()))),
        Err(error) => Err(Failure::file("read", &path, &error)),
    }
}
