//! Contributions side by side, some thousand coordinates at a time, in double precision.

use super::{Contribution, counts};
use std::collections::BTreeMap;
use stepgrad_contract::tensors::{Dtype, Tensor};

/// Coordinates of a chunk: few enough that hundreds of peers' stay in a cache.
const CHUNK: usize = 4_096;

/// Coordinates of one tensor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// The tensor's name.
    pub(super) name: &'a str,
    /// The first of them.
    pub(super) start: usize,
}

/// Values of the tensor's elements from `start` on, as many as `row` is to have; integers have none.
pub(super) fn read(tensor: &Tensor, start: usize, length: usize, row: &mut Vec<f64>) {
    row.clear();
    match tensor.dtype {
        Dtype::F32 => {
            let all = tensor.data.as_chunks::<4>().0;
            let part = all.iter().skip(start).take(length);
            row.extend(part.map(|bytes| f64::from(f32::from_le_bytes(*bytes))));
        }
        Dtype::F64 => {
            let all = tensor.data.as_chunks::<8>().0;
            row.extend(all.iter().skip(start).take(length).map(|bytes| f64::from_le_bytes(*bytes)));
        }
        Dtype::U8 | Dtype::I64 => {}
    }
}

/// Calls `work` for each chunk with the values of each contribution, in their order.
pub(super) fn each(contributions: &[Contribution], mut work: impl FnMut(Place<'_>, &[Vec<f64>])) {
    let Some(first) = contributions.first() else { return };
    let mut rows = vec![Vec::new(); contributions.len()];
    for name in first.file.tensors.keys() {
        each_of(contributions, name, &mut rows, &mut work);
    }
}

fn each_of(
    contributions: &[Contribution],
    name: &str,
    rows: &mut [Vec<f64>],
    work: &mut impl FnMut(Place<'_>, &[Vec<f64>]),
) {
    let tensors: Vec<&Tensor> =
        contributions.iter().filter_map(|contribution| contribution.file.tensors.get(name)).collect();
    let Some(first) = tensors.first() else { return };
    if matches!(first.dtype, Dtype::U8 | Dtype::I64) {
        return;
    }
    let length = first.data.len() / first.dtype.size();
    let mut start = 0;
    while start < length {
        for (tensor, row) in tensors.iter().zip(rows.iter_mut()) {
            read(tensor, start, CHUNK.min(length - start), row);
        }
        work(Place { name, start }, rows);
        start += CHUNK;
    }
}

/// A file of the values that `work` pushes for each chunk, as many as there are in a row. Integers are the
/// lower median of the contributions'.
pub(super) fn combined(
    contributions: &[Contribution],
    mut work: impl FnMut(Place<'_>, &[Vec<f64>], &mut Vec<f64>),
) -> BTreeMap<String, Tensor> {
    let Some(first) = contributions.first() else { return BTreeMap::new() };
    let mut rows = vec![Vec::new(); contributions.len()];
    let mut values = Vec::with_capacity(CHUNK);
    let combine = |(name, tensor): (&String, &Tensor)| {
        let data = match tensor.dtype {
            Dtype::U8 | Dtype::I64 => counts::median(contributions, name, tensor.dtype),
            dtype => {
                let mut data = Vec::with_capacity(tensor.data.len());
                each_of(contributions, name, &mut rows, &mut |place, rows| {
                    values.clear();
                    work(place, rows, &mut values);
                    write(dtype, &values, &mut data);
                });
                data
            }
        };
        (name.clone(), Tensor { dtype: tensor.dtype, shape: tensor.shape.clone(), data: data.into() })
    };
    first.file.tensors.iter().map(combine).collect()
}

fn write(dtype: Dtype, values: &[f64], data: &mut Vec<u8>) {
    #[expect(clippy::cast_possible_truncation, reason = "the result is in the input's own precision")]
    match dtype {
        Dtype::F32 => values.iter().for_each(|value| data.extend_from_slice(&(*value as f32).to_le_bytes())),
        _ => values.iter().for_each(|value| data.extend_from_slice(&value.to_le_bytes())),
    }
}

/// The mean of contributions by these weights, which need not add up to one; those of weight zero are not
/// looked at.
pub(super) fn weighted(contributions: &[Contribution], weights: &[f64]) -> BTreeMap<String, Tensor> {
    let total: f64 = weights.iter().sum();
    combined(contributions, |_, rows, values| {
        for column in 0..rows.first().map_or(0, Vec::len) {
            values.push(weighted_at(rows, weights, column) / total);
        }
    })
}

/// The sum of weighted values of one coordinate.
pub(super) fn weighted_at(rows: &[Vec<f64>], weights: &[f64], column: usize) -> f64 {
    let terms = rows.iter().zip(weights).filter(|(_, weight)| **weight != 0.0);
    terms.map(|(row, weight)| row[column] * weight).sum()
}
