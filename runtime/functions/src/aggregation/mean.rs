//! The mean weighted by samples. Files are added one at a time in a fixed order, so one input is in memory at
//! a time and the result is the same to the bit; sums are in double precision, the result is in the input's own.
//! Nothing as large as a tensor is allocated but the sums and the result.

use std::collections::BTreeMap;
use stepgrad_contract::progress::Sums;
use stepgrad_contract::tensors::{Dtype, Tensor, TensorFile};
use stepgrad_contract::{ErrorKind, FunctionError};

/// The mean so far.
#[derive(Debug, Default)]
pub struct Mean {
    sums: Sums,
    weighted: BTreeMap<String, Weighted>,
    /// Integers have no mean: those of the first file.
    counts: BTreeMap<String, Tensor>,
}

/// A tensor's elements times samples, summed up.
#[derive(Debug)]
struct Weighted {
    dtype: Dtype,
    shape: Vec<usize>,
    sums: Vec<f64>,
}

impl Weighted {
    fn first(tensor: &Tensor, weight: f64) -> Option<Self> {
        let sums = match tensor.dtype {
            Dtype::F32 => singles(tensor).map(|value| value * weight).collect(),
            Dtype::F64 => doubles(tensor).map(|value| value * weight).collect(),
            Dtype::U8 | Dtype::I64 => return None,
        };
        Some(Self { dtype: tensor.dtype, shape: tensor.shape.clone(), sums })
    }

    /// Adds a tensor of the same type and shape.
    fn add(&mut self, tensor: &Tensor, weight: f64) {
        match tensor.dtype {
            Dtype::F32 => {
                self.sums.iter_mut().zip(singles(tensor)).for_each(|(sum, value)| *sum += value * weight);
            }
            _ => self.sums.iter_mut().zip(doubles(tensor)).for_each(|(sum, value)| *sum += value * weight),
        }
    }

    fn mean(self, samples: f64) -> Tensor {
        let mut data = Vec::with_capacity(self.sums.len() * self.dtype.size());
        for sum in &self.sums {
            let mean = sum / samples;
            #[expect(clippy::cast_possible_truncation, reason = "the mean is in the input's own precision")]
            match self.dtype {
                Dtype::F32 => data.extend_from_slice(&(mean as f32).to_le_bytes()),
                _ => data.extend_from_slice(&mean.to_le_bytes()),
            }
        }
        Tensor { dtype: self.dtype, shape: self.shape, data: data.into() }
    }
}

fn singles(tensor: &Tensor) -> impl ExactSizeIterator<Item = f64> {
    tensor.data.as_chunks::<4>().0.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes)))
}

fn doubles(tensor: &Tensor) -> impl ExactSizeIterator<Item = f64> {
    tensor.data.as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes))
}

impl Mean {
    /// Adds a file by its samples; without samples it adds nothing. Call in ascending order. `from` says
    /// whose it is, for errors.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidModel`] where its tensors are not those of the files before.
    #[expect(clippy::cast_precision_loss, reason = "counts of samples stay far below 2^53")]
    pub fn add(&mut self, from: &str, file: TensorFile) -> Result<(), FunctionError> {
        if file.sums.samples == 0 {
            return Ok(());
        }
        let (first, weight) = (self.sums.samples == 0, file.sums.samples as f64);
        let misfit = |name: &str| {
            let message =
                format!("{from} has another tensor {name} than those before: they are of different models");
            FunctionError::new(ErrorKind::InvalidModel, message)
        };
        if !first && file.tensors.len() != self.weighted.len() + self.counts.len() {
            return Err(misfit("list"));
        }
        for (name, tensor) in file.tensors {
            if first {
                match Weighted::first(&tensor, weight) {
                    Some(weighted) => drop(self.weighted.insert(name, weighted)),
                    // The part of a file would hold on to the whole.
                    None => {
                        drop(
                            self.counts.insert(name, Tensor { data: tensor.data.to_vec().into(), ..tensor }),
                        );
                    }
                }
                continue;
            }
            match self.weighted.get_mut(&name) {
                Some(sum) if (sum.dtype, &sum.shape) == (tensor.dtype, &tensor.shape) => {
                    sum.add(&tensor, weight);
                }
                None if self.counts.contains_key(&name) => {}
                _ => return Err(misfit(&name)),
            }
        }
        self.sums.add(&file.sums);
        Ok(())
    }

    /// What the files' samples and losses come to.
    #[must_use]
    pub fn sums(&self) -> Sums {
        self.sums
    }

    /// The mean with the sums; without any samples an empty file.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts of samples stay far below 2^53")]
    pub fn finish(self) -> TensorFile {
        let samples = self.sums.samples as f64;
        let mut tensors = self.counts;
        tensors.extend(self.weighted.into_iter().map(|(name, weighted)| (name, weighted.mean(samples))));
        TensorFile { tensors, sums: self.sums }
    }
}

#[cfg(test)]
mod tests {
    use super::Mean;
    use std::collections::BTreeMap;
    use stepgrad_contract::progress::Sums;
    use stepgrad_contract::tensors::{Tensor, TensorFile};

    fn file(samples: u64, values: &[f32], count: i64) -> TensorFile {
        TensorFile {
            tensors: BTreeMap::from([
                ("w".to_owned(), Tensor::f32(vec![values.len()], values)),
                ("batches".to_owned(), Tensor::i64(vec![], &[count])),
            ]),
            sums: Sums { samples, loss: 1.5, correct: 1 },
        }
    }

    #[test]
    fn weighs_by_samples() {
        let mut mean = Mean::default();
        mean.add("peer 1", file(0, &[1e30, 7.0], 1)).unwrap();
        mean.add("peer 2", file(1, &[1.0, -4.0], 2)).unwrap();
        mean.add("peer 3", file(3, &[5.0, 4.0], 3)).unwrap();
        let expected =
            TensorFile { sums: Sums { samples: 4, loss: 3.0, correct: 2 }, ..file(4, &[4.0, 2.0], 2) };
        assert_eq!(mean.finish(), expected);
    }

    #[test]
    fn one_file_comes_out_as_it_went_in() {
        let values: Vec<f32> = (1..1_000).map(|value| 1.0 / value as f32).collect();
        let mut mean = Mean::default();
        mean.add("peer 1", file(37, &values, 1)).unwrap();
        assert_eq!(mean.finish(), file(37, &values, 1));
        assert_eq!(Mean::default().finish(), TensorFile::default());
    }

    #[test]
    fn other_tensors_are_refused() {
        let mut mean = Mean::default();
        mean.add("peer 1", file(1, &[1.0], 0)).unwrap();
        assert!(mean.add("peer 2", file(1, &[1.0, 2.0], 0)).unwrap_err().message.contains("peer 2"));
        assert!(
            mean.add(
                "peer 2",
                TensorFile { sums: Sums { samples: 1, ..Sums::default() }, ..TensorFile::default() }
            )
            .is_err()
        );
    }
}
