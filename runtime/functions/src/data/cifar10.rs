//! CIFAR-10's binary version (A. Krizhevsky, "The CIFAR-10 dataset"): records of a label and 3 × 32 × 32
//! bytes, in one file or in a folder's `data_batch_*.bin`; held out is a folder's `test_batch.bin`.

use super::source::{Stream, files};
use super::spool::{Element, Samples, Writer};
use super::{Role, invalid};
use std::path::{Path, PathBuf};
use stepgrad_contract::FunctionError;

const PIXELS: usize = 3 * 32 * 32;

pub(super) fn read(path: &Path, role: Role) -> Result<Samples, FunctionError> {
    let mut spool = Writer::dense(Element::U8, vec![3, 32, 32])?;
    for file in parts(path, role)? {
        let mut stream = Stream::open(&file)?;
        let record = (1 + PIXELS) as u64;
        if stream.length().is_some_and(|length| length % record != 0) {
            return Err(
                stream.invalid(format!("the file's length is no multiple of {record}, the size of a record"))
            );
        }
        let mut record = [0; 1 + PIXELS];
        while !stream.at_end()? {
            stream.read_exact(&mut record)?;
            let [label, pixels @ ..] = &record;
            if *label > 9 {
                return Err(stream.invalid(format!("label {label} in the record before: classes are 0 to 9")));
            }
            spool.push_bytes(pixels, &label.to_string())?;
        }
    }
    spool.finish_with(&["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"])
}

fn parts(path: &Path, role: Role) -> Result<Vec<PathBuf>, FunctionError> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let files = files(path)?;
    let starting = |start: &str| -> Vec<PathBuf> {
        let name =
            |path: &PathBuf| path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        files
            .iter()
            .filter(|path| name(path).starts_with(start) && name(path).contains(".bin"))
            .cloned()
            .collect()
    };
    let (batches, test) = (starting("data_batch"), starting("test_batch"));
    let parts = if role == Role::Validation && !test.is_empty() { test } else { batches };
    match parts.is_empty() {
        true => Err(invalid(format!(
            "{}: there is no data_batch_*.bin (the binary version) in it",
            path.display()
        ))),
        false => Ok(parts),
    }
}
