//! A folder for sources that are fetched from a bucket. While it is used it is locked: Lambda keeps `/tmp` from call to call, so
//! what a function leaves there that is killed or out of time would be missing to the next one, which removes it.
#![expect(clippy::disallowed_methods, reason = "keeps what was fetched")]

use std::fs::File;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// How the folders' names begin.
const PREFIX: &str = "stepgrad-sources-";
/// The file that is locked.
const LOCK: &str = "lock";

/// The folder. It goes when this is dropped.
#[derive(Debug)]
pub(super) struct Fetched {
    sources: PathBuf,
    /// In this order: the folder is gone before the lock is.
    _folder: TempDir,
    _lock: File,
}

impl Fetched {
    /// A new one below `above`, in which those are removed that nobody uses any more.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn below(above: &Path) -> std::io::Result<Self> {
        for entry in std::fs::read_dir(above)?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(PREFIX) && is_left(&entry.path()) {
                // What cannot be removed is in nobody's way but for the room it takes.
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(above)?;
        let (begun, named) = (folder.path().join("lock.begun"), folder.path().join(LOCK));
        let lock = File::create(&begun)?;
        lock.lock()?;
        // Under its name it is locked from the first moment on.
        std::fs::rename(begun, named)?;
        let sources = folder.path().join("sources");
        std::fs::create_dir(&sources)?;
        Ok(Self { sources, _folder: folder, _lock: lock })
    }

    /// Where the sources go.
    pub(super) fn path(&self) -> &Path {
        &self.sources
    }
}

/// Whether the one that made a folder is gone.
fn is_left(folder: &Path) -> bool {
    File::open(folder.join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok())
}

#[cfg(test)]
mod tests {
    use super::{Fetched, LOCK, PREFIX};

    #[test]
    fn what_a_killed_function_left_is_removed_and_what_is_used_stays() {
        let above = tempfile::tempdir().unwrap();
        let left = above.path().join(format!("{PREFIX}left"));
        let others = above.path().join("others");
        for folder in [&left, &others] {
            std::fs::create_dir(folder).unwrap();
            std::fs::write(folder.join(LOCK), "").unwrap();
        }
        let used = Fetched::below(above.path()).unwrap();
        std::fs::write(used.path().join("x"), "x").unwrap();
        assert!(!left.exists() && others.exists());
        let second = Fetched::below(above.path()).unwrap();
        assert!(used.path().join("x").exists() && second.path() != used.path());
        let gone = used.path().to_owned();
        drop(used);
        assert!(!gone.exists() && second.path().exists());
    }
}
