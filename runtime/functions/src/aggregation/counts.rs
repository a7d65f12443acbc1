//! Integers, such as a `BatchNorm` layer's count of batches, have no mean: of each element the lower median is
//! taken, which lies between honest peers' wherever these are more than half.

use super::Contribution;
use stepgrad_contract::tensors::{Dtype, Tensor};

/// The lower median of each element of the contributions' tensor `name`, as bytes.
pub(super) fn median(contributions: &[Contribution], name: &str, dtype: Dtype) -> Vec<u8> {
    let size = dtype.size();
    let tensors: Vec<&Tensor> =
        contributions.iter().filter_map(|contribution| contribution.file.tensors.get(name)).collect();
    let Some(first) = tensors.first() else { return Vec::new() };
    let mut data = Vec::with_capacity(first.data.len());
    let mut column: Vec<(i64, &[u8])> = Vec::with_capacity(tensors.len());
    for start in (0..first.data.len()).step_by(size) {
        column.clear();
        column.extend(tensors.iter().filter_map(|tensor| {
            let bytes = tensor.data.get(start..start + size)?;
            Some((value(bytes), bytes))
        }));
        column.sort_unstable();
        let middle = column.len().saturating_sub(1) / 2;
        data.extend(column.get(middle).into_iter().flat_map(|(_, bytes)| bytes.iter().copied()));
    }
    data
}

fn value(bytes: &[u8]) -> i64 {
    match bytes.try_into() {
        Ok(eight) => i64::from_le_bytes(eight),
        Err(_) => bytes.first().copied().map_or(0, i64::from),
    }
}

#[cfg(test)]
mod tests {
    use super::median;
    use crate::aggregation::Contribution;
    use std::collections::BTreeMap;
    use stepgrad_contract::progress::Sums;
    use stepgrad_contract::tensors::{Dtype, Tensor, TensorFile};

    #[test]
    fn the_lower_median_of_each_element() {
        let file = |tensor: Tensor| TensorFile {
            tensors: BTreeMap::from([("n".to_owned(), tensor)]),
            sums: Sums::default(),
        };
        let of = |tensors: Vec<Tensor>, dtype| {
            let all: Vec<_> =
                (1..).zip(tensors).map(|(peer, tensor)| Contribution { peer, file: file(tensor) }).collect();
            median(&all, "n", dtype)
        };
        let counts = [[7, -1], [i64::MAX, 5], [3, 9], [8, i64::MIN]];
        let found = of(counts.iter().map(|values| Tensor::i64(vec![2], values)).collect(), Dtype::I64);
        assert_eq!(found, [7_i64.to_le_bytes(), (-1_i64).to_le_bytes()].concat());
        let bytes = |values: &[u8]| Tensor { dtype: Dtype::U8, shape: vec![2], data: values.to_vec().into() };
        assert_eq!(of(vec![bytes(&[200, 1]), bytes(&[3, 2]), bytes(&[9, 255])], Dtype::U8), [9, 2]);
    }
}
