//! A batch as the model sees it.

use crate::torch::{self, first_line};
use stepgrad_contract::manifest::{Manifest, Transform};
use stepgrad_contract::tensors::TensorFile;
use stepgrad_contract::{ErrorKind, FunctionError};
use tch::{Kind, TchError, Tensor};

/// A batch as the model sees it: preprocessed, dense.
#[derive(Debug)]
pub struct Batch {
    /// Single precision, `[samples, …shape]`.
    pub x: Tensor,
    /// Classes, 64-bit integers, `[samples]`.
    pub y: Tensor,
}

impl Batch {
    /// The batch of a file of raw values.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidData`] where it is not a batch of this data.
    pub fn load(file: &TensorFile, manifest: &Manifest) -> Result<Self, FunctionError> {
        let invalid = |what: &str| FunctionError::new(ErrorKind::InvalidData, format!("the batch {what}"));
        let tensor =
            |name: &str| file.tensors.get(name).ok_or_else(|| invalid(&format!("has no tensor {name}")));
        let y = torch::load("y", tensor("y")?)?;
        let x = match file.tensors.get("x") {
            Some(x) => torch::load("x", x)?,
            None => {
                let integers =
                    |name| tensor(name)?.as_i64().ok_or_else(|| invalid("has starts that are no integers"));
                let values =
                    tensor("values")?.as_f32().ok_or_else(|| invalid("has values of another type"))?;
                dense(&integers("indptr")?, &integers("indices")?, &values, &manifest.shape)
                    .ok_or_else(|| invalid("has a sparse row out of bounds"))?
            }
        };
        let shape: Vec<i64> = y.size().into_iter().chain(manifest.shape.iter().copied()).collect();
        if y.dim() != 1 || x.size() != shape {
            return Err(invalid(&format!(
                "has shape {:?} for samples of shape {:?}",
                x.size(),
                manifest.shape
            )));
        }
        let preprocess = || {
            let mut x = x.f_to_kind(Kind::Float)?;
            for transform in &manifest.transforms {
                x = apply(transform, &x)?;
            }
            Ok(x)
        };
        let x = preprocess()
            .map_err(|error: TchError| invalid(&format!("cannot be preprocessed: {}", first_line(&error))))?;
        Ok(Self { x, y })
    }

    /// The same samples with class c of `classes` called the last one − c.
    #[must_use]
    pub fn with_mirrored_labels(self, classes: usize) -> Self {
        let last = i64::try_from(classes.saturating_sub(1)).unwrap_or_default();
        Self { y: last - &self.y, x: self.x }
    }
}

/// Sparse rows as a dense tensor; `None` where an index is out of bounds.
fn dense(starts: &[i64], indices: &[i64], values: &[f32], shape: &[i64]) -> Option<Tensor> {
    let features = usize::try_from(*shape.first()?).ok()?;
    let rows = starts.len().checked_sub(1)?;
    let mut dense = vec![0.0_f32; rows.checked_mul(features)?];
    for (row, bounds) in starts.windows(2).enumerate() {
        let range = usize::try_from(bounds[0]).ok()?..usize::try_from(bounds[1]).ok()?;
        for (index, value) in indices.get(range.clone())?.iter().zip(values.get(range)?) {
            let index = usize::try_from(*index).ok().filter(|index| *index < features)?;
            dense[row * features + index] = *value;
        }
    }
    Tensor::f_from_slice(&dense).ok()?.f_view([i64::try_from(rows).ok()?, *shape.first()?]).ok()
}

fn apply(transform: &Transform, x: &Tensor) -> Result<Tensor, TchError> {
    match transform {
        Transform::Affine { shift, scale } => {
            // One for all values, for each channel [1, channels, 1, 1], or for each feature [1, features].
            let mut shape = vec![1; x.dim()];
            if let (true, Some(second)) = (shift.len() > 1, shape.get_mut(1)) {
                *second = i64::try_from(shift.len()).unwrap_or(i64::MAX);
            }
            let constants = |values: &[f64]| {
                Tensor::f_from_slice(values)?.f_to_kind(Kind::Float)?.f_view(shape.as_slice())
            };
            x.f_sub(&constants(shift)?)?.f_mul(&constants(scale)?)
        }
        Transform::UnitLength => {
            let squares = x.f_mul(x)?.f_flatten(1, -1)?.f_sum_dim_intlist(1_i64, false, Kind::Float)?;
            let lengths = squares.f_sqrt()?;
            // Zero stays zero.
            let lengths = lengths.f_where_self(&lengths.f_gt(0.0)?, &lengths.f_ones_like()?)?;
            let mut shape = vec![1; x.dim()];
            shape[0] = -1;
            x.f_div(&lengths.f_view(shape.as_slice())?)
        }
    }
}
