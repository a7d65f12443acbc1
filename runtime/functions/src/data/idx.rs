//! The IDX files of MNIST (Y. LeCun, "THE MNIST DATABASE", file formats), plain or gzip: unsigned bytes,
//! images [samples, height, width] or [samples, channels, height, width], tables [samples, features].
//!
//! A folder holds a pair of files whose names say `images` and `labels`; where it holds several pairs,
//! `train-…` is trained on and `t10k-…` or `test-…` held out. A file is the images, and its labels stand
//! beside it under the same name with `labels` for `images` and `idx1` for `idx3`.

use super::source::{Stream, files};
use super::spool::{Element, Samples, Writer};
use super::{Role, invalid};
use std::path::{Path, PathBuf};
use stepgrad_contract::FunctionError;

pub(super) fn read(path: &Path, role: Role) -> Result<Samples, FunctionError> {
    let (images, labels) = pair(path, role)?;
    let mut images = Stream::open(&images)?;
    let mut labels = Stream::open(&labels)?;
    let sizes = header(&mut images, 2..=4)?;
    let classes = header(&mut labels, 1..=1)?;
    let (count, sample) = sizes.split_first().ok_or_else(|| images.invalid("no dimensions"))?;
    if classes.first() != Some(count) {
        return Err(labels.invalid(format!("{classes:?} labels for {count} samples")));
    }
    let values = sample.iter().try_fold(1_u64, |product, size| product.checked_mul(u64::from(*size)));
    let values = values.filter(|values| *values > 0 && *values <= 1 << 28);
    let values = values.ok_or_else(|| images.invalid(format!("samples of {sample:?} values")))?;
    images.expect(values.checked_mul(u64::from(*count)))?;
    labels.expect(Some(u64::from(*count)))?;
    let shape: Vec<i64> = sample.iter().map(|size| i64::from(*size)).collect();
    let (element, shape) = match shape.as_slice() {
        &[height, width] => (Element::U8, vec![1, height, width]),
        [_] => (Element::F32, shape),
        _ => (Element::U8, shape),
    };
    let mut spool = Writer::dense(element, shape)?;
    let (mut record, mut class) = (Vec::new(), [0]);
    for _ in 0..*count {
        images.read(values, &mut record)?;
        labels.read_exact(&mut class)?;
        spool.push_bytes(&record, &class[0].to_string())?;
    }
    images.end()?;
    labels.end()?;
    spool.finish()
}

/// The sizes of an IDX file: two zeros, the type 8 (unsigned bytes), the number of dimensions, the sizes.
fn header(stream: &mut Stream, dimensions: std::ops::RangeInclusive<u8>) -> Result<Vec<u32>, FunctionError> {
    let mut magic = [0; 4];
    stream.read_exact(&mut magic)?;
    let [0, 0, 8, rank] = magic else {
        return Err(stream.invalid(format!(
            "{magic:02x?} is not the beginning of an IDX file of unsigned bytes (00 00 08 and the number of dimensions)"
        )));
    };
    if !dimensions.contains(&rank) {
        return Err(stream.invalid(format!("{rank} dimensions, where {dimensions:?} are expected")));
    }
    let mut size = [0; 4];
    (0..rank)
        .map(|_| {
            stream.read_exact(&mut size)?;
            Ok(u32::from_be_bytes(size))
        })
        .collect()
}

/// The files of images and labels.
fn pair(path: &Path, role: Role) -> Result<(PathBuf, PathBuf), FunctionError> {
    if path.is_file() {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let labels = path.with_file_name(name.replace("images", "labels").replace("idx3", "idx1"));
        return match labels.is_file() && labels != path {
            true => Ok((path.to_owned(), labels)),
            false => Err(invalid(format!(
                "{}: the labels are expected beside the images, under the same name with labels for images",
                path.display()
            ))),
        };
    }
    let files = files(path)?;
    let named = |word: &str| -> Vec<&PathBuf> {
        let name =
            |path: &Path| path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_lowercase();
        files.iter().filter(|path| name(path).contains(word)).collect()
    };
    let preferred: &[&str] = match role {
        Role::Training => &["train"],
        Role::Validation => &["t10k", "test"],
    };
    let only = |word: &str| -> Result<PathBuf, FunctionError> {
        let found = named(word);
        let own = |path: &&&PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            preferred.iter().any(|start| name.starts_with(start))
        };
        let chosen: Vec<_> = found.iter().filter(own).collect();
        match (chosen.as_slice(), found.as_slice()) {
            ([one], _) => Ok((**one).clone()),
            ([], [one]) => Ok((*one).clone()),
            _ => Err(invalid(format!(
                "{}: {} files are named for {word}, where one is expected, or one that begins with {}",
                path.display(),
                found.len(),
                preferred.join(" or ")
            ))),
        }
    };
    Ok((only("images")?, only("labels")?))
}
