//! The mean weighted by samples. Files are added one at a time in a fixed order, so one input is in memory at
//! a time and the result is the same to the bit; sums are in double precision, the result is in the input's own.

use crate::torch::{self, invalid_model};
use std::collections::BTreeMap;
use stepgrad_contract::progress::Sums;
use stepgrad_contract::tensors::{Dtype, Tensor as Stored, TensorFile};
use stepgrad_contract::{ErrorKind, FunctionError};
use tch::{Kind, Tensor};

/// The mean so far.
#[derive(Debug, Default)]
pub struct Mean {
    sums: Sums,
    weighted: BTreeMap<String, (Kind, Tensor)>,
    /// Integers have no mean: those of the first file.
    counts: BTreeMap<String, Stored>,
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
        let first = self.sums.samples == 0;
        let misfit = |name: &str| {
            let message =
                format!("{from} has another tensor {name} than those before: they are of different models");
            FunctionError::new(ErrorKind::InvalidModel, message)
        };
        if !first && file.tensors.len() != self.weighted.len() + self.counts.len() {
            return Err(misfit("list"));
        }
        for (name, stored) in file.tensors {
            if !matches!(stored.dtype, Dtype::F32 | Dtype::F64) {
                if first {
                    self.counts.insert(name, stored);
                } else if !self.counts.contains_key(&name) {
                    return Err(misfit(&name));
                }
                continue;
            }
            let cannot = || invalid_model(format!("cannot average tensor {name}"));
            let tensor = torch::load(&name, &stored)?;
            let product = tensor.f_to_kind(Kind::Double).map_err(cannot())?;
            let product = product.f_mul_scalar(file.sums.samples as f64).map_err(cannot())?;
            match self.weighted.get_mut(&name) {
                Some((_, sum)) if sum.size() == product.size() => {
                    let _ = sum.f_add_(&product).map_err(cannot())?;
                }
                None if first => {
                    let kind = if stored.dtype == Dtype::F32 { Kind::Float } else { Kind::Double };
                    self.weighted.insert(name, (kind, product));
                }
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
    ///
    /// # Errors
    /// [`ErrorKind::InvalidModel`] where libtorch refuses.
    #[expect(clippy::cast_precision_loss, reason = "counts of samples stay far below 2^53")]
    pub fn finish(self) -> Result<TensorFile, FunctionError> {
        let samples = self.sums.samples as f64;
        let mut tensors = self.counts;
        for (name, (kind, sum)) in self.weighted {
            let mean = sum.f_div_scalar(samples).and_then(|mean| mean.f_to_kind(kind));
            let mean = mean.map_err(invalid_model(format!("cannot average tensor {name}")))?;
            tensors.insert(name.clone(), torch::store(&name, &mean)?);
        }
        Ok(TensorFile { tensors, sums: self.sums })
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
        assert_eq!(mean.finish().unwrap(), expected);
    }

    #[test]
    fn one_file_comes_out_as_it_went_in() {
        let values: Vec<f32> = (1..1_000).map(|value| 1.0 / value as f32).collect();
        let mut mean = Mean::default();
        mean.add("peer 1", file(37, &values, 1)).unwrap();
        assert_eq!(mean.finish().unwrap(), file(37, &values, 1));
        assert_eq!(Mean::default().finish().unwrap(), TensorFile::default());
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
