//! The spool: the records of a source in a temporary file, with their labels in memory. Records are read
//! back in any order; sparse rows stay sparse.

use super::invalid;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use stepgrad_contract::progress::Sums;
use stepgrad_contract::tensors::{Dtype, Tensor, TensorFile};
use stepgrad_contract::{ErrorKind, FunctionError};

/// More classes than this are a sign that the label is none.
const CLASSES: usize = 65_536;

/// The type of a dense record's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    /// Unsigned bytes.
    U8,
    /// Single precision.
    F32,
}

/// Takes records and their classes.
pub(super) struct Writer {
    file: BufWriter<File>,
    samples: Samples,
    written: u64,
    names: BTreeMap<String, u32>,
    bytes: Vec<u8>,
}

/// The records of a source.
pub(super) struct Samples {
    file: File,
    /// `None` for sparse rows.
    element: Option<Element>,
    /// Shape of a sample; of sparse rows, as many features as the largest index.
    pub(super) shape: Vec<i64>,
    /// Sorted, numerically where all are numbers.
    pub(super) classes: Vec<String>,
    /// A place in `classes` for each sample.
    pub(super) labels: Vec<u32>,
    /// Where sparse rows begin, and the end of the last.
    offsets: Vec<u64>,
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn failed(error: std::io::Error) -> FunctionError {
    let message = format!(
        "cannot use the temporary file of the samples in {}: {error}; free space there or set TMPDIR to another folder",
        std::env::temp_dir().display()
    );
    FunctionError::new(ErrorKind::ObjectUnavailable, message)
}

impl Writer {
    /// For dense records of `shape`.
    pub(super) fn dense(element: Element, shape: Vec<i64>) -> Result<Self, FunctionError> {
        Self::new(Some(element), shape)
    }

    /// For sparse rows.
    pub(super) fn sparse() -> Result<Self, FunctionError> {
        Self::new(None, vec![0])
    }

    fn new(element: Option<Element>, shape: Vec<i64>) -> Result<Self, FunctionError> {
        let file = tempfile::tempfile().map_err(failed)?;
        let samples = Samples {
            file: file.try_clone().map_err(failed)?,
            element,
            shape,
            classes: Vec::new(),
            labels: Vec::new(),
            offsets: vec![0],
        };
        let file = BufWriter::with_capacity(1 << 18, file);
        Ok(Self { file, samples, written: 0, names: BTreeMap::new(), bytes: Vec::new() })
    }

    /// Adds a record of bytes.
    pub(super) fn push_bytes(&mut self, values: &[u8], class: &str) -> Result<(), FunctionError> {
        match self.samples.element {
            Some(Element::U8) => {
                self.file.write_all(values).map_err(failed)?;
                self.classify(class)
            }
            _ => self.push(values.iter().map(|value| f32::from(*value)), class),
        }
    }

    /// Adds a record of numbers.
    pub(super) fn push(
        &mut self,
        values: impl Iterator<Item = f32>,
        class: &str,
    ) -> Result<(), FunctionError> {
        self.bytes.clear();
        let mut finite = true;
        values.for_each(|value| {
            finite &= value.is_finite();
            self.bytes.extend(value.to_le_bytes());
        });
        if !finite {
            let sample = self.samples.labels.len();
            return Err(invalid(format!(
                "sample {sample} has a value that is not finite in single precision"
            )));
        }
        self.file.write_all(&self.bytes).map_err(failed)?;
        self.classify(class)
    }

    /// Adds a sparse row: indices from 0, ascending, with their values.
    pub(super) fn push_sparse(&mut self, row: &[(u32, f32)], class: &str) -> Result<(), FunctionError> {
        self.bytes.clear();
        for (index, value) in row {
            self.bytes.extend(index.to_le_bytes());
            self.bytes.extend(value.to_le_bytes());
        }
        self.file.write_all(&self.bytes).map_err(failed)?;
        self.written += self.bytes.len() as u64;
        self.samples.offsets.push(self.written);
        if let (Some((last, _)), Some(features)) = (row.last(), self.samples.shape.first_mut()) {
            *features = (*features).max(i64::from(*last) + 1);
        }
        self.classify(class)
    }

    fn classify(&mut self, class: &str) -> Result<(), FunctionError> {
        let next = self.names.len();
        let label = match self.names.get(class) {
            Some(label) => *label,
            None if next >= CLASSES => {
                let found = format!("the label has more than {CLASSES} different values, {class} among them");
                return Err(invalid(format!("{found}: is it the class?")));
            }
            None => {
                let label = u32::try_from(next).unwrap_or(u32::MAX);
                self.names.insert(class.to_owned(), label);
                label
            }
        };
        if u32::try_from(self.samples.labels.len() + 1).is_err() {
            return Err(invalid("more than 4,294,967,295 samples cannot be counted"));
        }
        self.samples.labels.push(label);
        Ok(())
    }

    /// The classes that are there even if no sample has them.
    pub(super) fn finish_with(mut self, classes: &[&str]) -> Result<Samples, FunctionError> {
        for class in classes {
            let next = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
            self.names.entry((*class).to_owned()).or_insert(next);
        }
        self.finish()
    }

    /// The records, their classes sorted.
    pub(super) fn finish(mut self) -> Result<Samples, FunctionError> {
        self.file.flush().map_err(failed)?;
        let mut classes: Vec<(String, u32)> = self.names.into_iter().collect();
        let number = |name: &str| name.parse::<f64>().ok().filter(|value| value.is_finite());
        if classes.iter().all(|(name, _)| number(name).is_some()) {
            classes.sort_by(|(one, _), (other, _)| {
                number(one)
                    .unwrap_or(0.0)
                    .total_cmp(&number(other).unwrap_or(0.0))
                    .then_with(|| one.cmp(other))
            });
        }
        let mut places = vec![0; classes.len()];
        for (place, (_, label)) in (0..).zip(&classes) {
            places[*label as usize] = place;
        }
        let mut samples = self.samples;
        samples.labels.iter_mut().for_each(|label| *label = places[*label as usize]);
        samples.classes = classes.into_iter().map(|(name, _)| name).collect();
        Ok(samples)
    }
}

impl Samples {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.labels.len()
    }

    /// Values of a sample.
    pub(super) fn values(&self) -> usize {
        self.shape.iter().map(|length| usize::try_from(*length).unwrap_or(0)).product()
    }

    /// Whether rows are sparse and worth keeping so: fewer than half of the values are there.
    pub(super) fn is_sparse(&self) -> bool {
        let entries = self.offsets.last().copied().unwrap_or(0) / 8;
        self.element.is_none() && entries * 2 < self.len() as u64 * self.values() as u64
    }

    /// Puts the labels in terms of other classes.
    pub(super) fn relabel(&mut self, classes: &[String], what: &str) -> Result<(), FunctionError> {
        let places: BTreeMap<&String, u32> = classes.iter().zip(0..).collect();
        let places = self.classes.iter().map(|class| {
            let unknown = || invalid(format!("{what} has the class {class}, which no training sample has"));
            places.get(class).copied().ok_or_else(unknown)
        });
        // A class that is only named has no samples and need not be known.
        let used: std::collections::BTreeSet<u32> = self.labels.iter().copied().collect();
        let places: Vec<_> = places
            .zip(0..)
            .map(|(place, label)| if used.contains(&label) { place } else { Ok(0) })
            .collect::<Result<_, _>>()?;
        self.labels.iter_mut().for_each(|label| *label = places[*label as usize]);
        self.classes = classes.to_vec();
        Ok(())
    }

    /// The entries of a sparse row that are there; `None` for dense records.
    pub(super) fn entries(&self, sample: u32) -> Result<Option<Vec<(u32, f32)>>, FunctionError> {
        if self.element.is_some() {
            return Ok(None);
        }
        let sample = sample as usize;
        let (start, end) = (self.offsets[sample], self.offsets[sample + 1]);
        let mut bytes = vec![0; usize::try_from(end - start).unwrap_or(0)];
        self.file.read_exact_at(&mut bytes, start).map_err(failed)?;
        let (entries, _) = bytes.as_chunks::<8>();
        let entry = |[a, b, c, d, e, f, g, h]: &[u8; 8]| {
            (u32::from_le_bytes([*a, *b, *c, *d]), f32::from_le_bytes([*e, *f, *g, *h]))
        };
        Ok(Some(entries.iter().map(entry).collect()))
    }

    /// A sample's raw bytes, appended; dense records only.
    fn append(&self, sample: u32, size: usize, into: &mut Vec<u8>) -> Result<(), FunctionError> {
        let start = into.len();
        into.resize(start + size, 0);
        self.file.read_exact_at(&mut into[start..], u64::from(sample) * size as u64).map_err(failed)
    }

    /// A sample's values.
    pub(super) fn row(&self, sample: u32, into: &mut Vec<f64>) -> Result<(), FunctionError> {
        into.clear();
        if let Some(entries) = self.entries(sample)? {
            into.resize(self.values(), 0.0);
            entries.iter().for_each(|(index, value)| into[*index as usize] = f64::from(*value));
            return Ok(());
        }
        let mut bytes = Vec::new();
        match self.element {
            Some(Element::U8) => {
                self.append(sample, self.values(), &mut bytes)?;
                into.extend(bytes.iter().map(|value| f64::from(*value)));
            }
            _ => {
                self.append(sample, self.values() * 4, &mut bytes)?;
                let (values, _) = bytes.as_chunks::<4>();
                into.extend(values.iter().map(|value| f64::from(f32::from_le_bytes(*value))));
            }
        }
        Ok(())
    }

    /// Some samples as a batch of raw values: `x`, or `indptr`, `indices` and `values` of sparse rows; and
    /// their classes `y`.
    pub(super) fn batch(&self, samples: &[u32]) -> Result<TensorFile, FunctionError> {
        let labels: Vec<i64> =
            samples.iter().map(|sample| i64::from(self.labels[*sample as usize])).collect();
        let mut tensors = BTreeMap::from([("y".to_owned(), Tensor::i64(vec![labels.len()], &labels))]);
        let sums = Sums { samples: samples.len() as u64, ..Sums::default() };
        if self.is_sparse() {
            let (mut starts, mut indices, mut values) = (vec![0], Vec::new(), Vec::new());
            for sample in samples {
                for (index, value) in self.entries(*sample)?.unwrap_or_default() {
                    indices.push(i64::from(index));
                    values.push(value);
                }
                starts.push(i64::try_from(values.len()).unwrap_or(i64::MAX));
            }
            tensors.insert("indptr".to_owned(), Tensor::i64(vec![starts.len()], &starts));
            tensors.insert("indices".to_owned(), Tensor::i64(vec![indices.len()], &indices));
            tensors.insert("values".to_owned(), Tensor::f32(vec![values.len()], &values));
            return Ok(TensorFile { tensors, sums });
        }
        let shape = std::iter::once(samples.len())
            .chain(self.shape.iter().map(|length| usize::try_from(*length).unwrap_or(0)));
        let mut data = Vec::new();
        let dtype = match self.element {
            Some(Element::U8) => Dtype::U8,
            _ => Dtype::F32,
        };
        match self.element {
            Some(_) => {
                let size = self.values() * dtype.size();
                samples.iter().try_for_each(|sample| self.append(*sample, size, &mut data))?;
            }
            None => {
                let mut row = Vec::new();
                for sample in samples {
                    self.row(*sample, &mut row)?;
                    #[expect(clippy::cast_possible_truncation, reason = "the values were single precision")]
                    data.extend(row.iter().flat_map(|value| (*value as f32).to_le_bytes()));
                }
            }
        }
        tensors.insert("x".to_owned(), Tensor { dtype, shape: shape.collect(), data: data.into() });
        Ok(TensorFile { tensors, sums })
    }
}
