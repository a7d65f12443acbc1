//! The libraries that go with a program: those it names, those they name, and so on, as far as Lambda has them not.
#![expect(clippy::disallowed_methods, reason = "reads libraries")]

use crate::elf::{self, Needs};
use crate::limits::SYSTEM;
use crate::{Architecture, PackageError};
use std::collections::BTreeMap;
use std::path::Path;

/// The libraries by name, as they are in `folder`.
pub(crate) fn closure(
    program: &Path,
    needs: &Needs,
    folder: &Path,
    architecture: Architecture,
) -> Result<BTreeMap<String, Vec<u8>>, PackageError> {
    let mut found = BTreeMap::new();
    let mut open: Vec<(_, String)> =
        needs.libraries.iter().map(|library| (program.to_owned(), library.clone())).collect();
    while let Some((user, library)) = open.pop() {
        if SYSTEM.contains(&library.as_str()) || found.contains_key(&library) {
            continue;
        }
        let path = folder.join(&library);
        // A name with a slash would lead out of the package.
        let bytes = match library.contains('/') || !path.is_file() {
            false => std::fs::read(&path).map_err(|error| PackageError::File {
                what: "read",
                path: path.clone(),
                error,
            })?,
            true => return Err(PackageError::Library { path: user, library, folder: folder.to_owned() }),
        };
        let needs = elf::check(&path, &bytes, architecture)?;
        open.extend(needs.libraries.into_iter().map(|library| (path.clone(), library)));
        found.insert(library, bytes);
    }
    Ok(found)
}
