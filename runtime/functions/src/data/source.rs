//! Files of data opened as byte streams, unpacked where they are gzip. The only room of the data that opens files.
#![expect(clippy::disallowed_methods, reason = "reads the user's data")]

use super::invalid;
use flate2::bufread::MultiGzDecoder;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use stepgrad_contract::FunctionError;

/// The files directly in a folder, by name.
pub(super) fn files(folder: &Path) -> Result<Vec<PathBuf>, FunctionError> {
    let failed = |error| invalid(format!("{}: {error}", folder.display()));
    let entries = std::fs::read_dir(folder).map_err(failed)?;
    let mut files: Vec<_> =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>().map_err(failed)?;
    files.retain(|path| path.is_file());
    files.sort_unstable();
    Ok(files)
}

/// An open source: its bytes, unpacked.
pub(super) struct Stream {
    path: PathBuf,
    reader: Box<dyn BufRead>,
    offset: u64,
    /// Bytes of the file, where they are the stream's own: not for gzip.
    length: Option<u64>,
}

impl Stream {
    /// Opens a file.
    pub(super) fn open(path: &Path) -> Result<Self, FunctionError> {
        let failed = |error| invalid(format!("{}: {error}", path.display()));
        let file = File::open(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let mut reader = BufReader::with_capacity(1 << 16, file);
        let packed = reader.fill_buf().map_err(failed)?.starts_with(&[0x1f, 0x8b]);
        let reader: Box<dyn BufRead> = match packed {
            true => Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(reader))),
            false => Box::new(reader),
        };
        Ok(Self { path: path.to_owned(), reader, offset: 0, length: (!packed).then_some(length) })
    }

    /// An error at the stream's place.
    pub(super) fn invalid(&self, what: impl std::fmt::Display) -> FunctionError {
        invalid(format!("{} at byte {}: {what}", self.path.display(), self.offset))
    }

    /// Fills `buffer`.
    pub(super) fn read_exact(&mut self, buffer: &mut [u8]) -> Result<(), FunctionError> {
        self.reader.read_exact(buffer).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => {
                self.invalid(format!("the file ends where {} more bytes are due", buffer.len()))
            }
            _ => self.invalid(error),
        })?;
        self.offset += buffer.len() as u64;
        Ok(())
    }

    /// The next `length` bytes, of which nothing is allocated before it is there.
    pub(super) fn read(&mut self, length: u64, into: &mut Vec<u8>) -> Result<(), FunctionError> {
        into.clear();
        let read = self.reader.by_ref().take(length).read_to_end(into);
        let read = read.map_err(|error| self.invalid(error))? as u64;
        if read < length {
            return Err(self.invalid(format!("the file ends {read} bytes into a part of {length}")));
        }
        self.offset += length;
        Ok(())
    }

    /// Checks that `length` bytes follow and then the end, as far as that can be known beforehand.
    pub(super) fn expect(&self, length: Option<u64>) -> Result<(), FunctionError> {
        let Some(length) = length else {
            return Err(self.invalid("the sizes in the header are larger than any file"));
        };
        match self.length.map(|whole| whole.saturating_sub(self.offset)) {
            Some(found) if found != length => {
                let what = format!(
                    "the header announces {length} bytes of data and {found} follow: the file is cut or not of this format"
                );
                Err(self.invalid(what))
            }
            _ => Ok(()),
        }
    }

    /// Bytes of the file, where known.
    pub(super) fn length(&self) -> Option<u64> {
        self.length
    }

    /// Checks that nothing follows.
    pub(super) fn end(&mut self) -> Result<(), FunctionError> {
        match self.at_end()? {
            true => Ok(()),
            false => Err(self.invalid("more data follows than the header announces")),
        }
    }

    /// Whether nothing follows.
    pub(super) fn at_end(&mut self) -> Result<bool, FunctionError> {
        let at_end = self.reader.fill_buf().map(<[u8]>::is_empty);
        at_end.map_err(|error| self.invalid(error))
    }

    /// The next line without its end, at most `longest` bytes; `None` at the end.
    pub(super) fn line(&mut self, longest: u64, into: &mut Vec<u8>) -> Result<bool, FunctionError> {
        into.clear();
        let read = self.reader.by_ref().take(longest).read_until(b'\n', into);
        let read = read.map_err(|error| self.invalid(error))? as u64;
        if read == longest && into.last() != Some(&b'\n') {
            return Err(self.invalid(format!("a line of more than {longest} bytes")));
        }
        self.offset += read;
        while into.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
            into.pop();
        }
        Ok(read > 0)
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.offset += read as u64;
        Ok(read)
    }
}
