//! The median of each coordinate: Yin, Chen, Ramchandran and Bartlett, "Byzantine-Robust Distributed Learning:
//! Towards Optimal Statistical Rates", ICML 2018, Definition 1 and Algorithm 1 (option I).
//!
//! Bears fewer than half of the contributions: each coordinate then lies between two honest values. Of an even
//! number it is the mean of the two in the middle. Contributions count alike, as in the paper, where all peers
//! have as many samples. Parameters of models have the same median with and without the round's start taken
//! off, so under model averaging they are taken as they are.
//!
//! Nobody is left out as a whole. Told are those more than twice as far from the median as is usual in the round.

use super::{Contribution, Outcome, chunks, distances};

pub(super) fn aggregate(contributions: &[Contribution]) -> Outcome {
    let mut column = Vec::with_capacity(contributions.len());
    let mut squares = vec![0.0; contributions.len()];
    let tensors = chunks::combined(contributions, |_, rows, values| {
        medians(rows, &mut column, values);
        distances::add_squares(&mut squares, rows, values);
    });
    let far: Vec<f64> = squares.into_iter().map(f64::sqrt).collect();
    Outcome { tensors, anomalous: distances::distant(contributions, &far) }
}

/// Pushes the median of each column of `rows`.
pub(super) fn medians(rows: &[Vec<f64>], column: &mut Vec<f64>, values: &mut Vec<f64>) {
    for place in 0..rows.first().map_or(0, Vec::len) {
        column.clear();
        column.extend(rows.iter().map(|row| row[place]));
        values.push(median(column));
    }
}

/// The median of numbers, which are put into another order.
fn median(numbers: &mut [f64]) -> f64 {
    let middle = numbers.len() / 2;
    let even = numbers.len().is_multiple_of(2);
    if numbers.is_empty() {
        return 0.0;
    }
    let (below, upper, _) = numbers.select_nth_unstable_by(middle, f64::total_cmp);
    let upper = *upper;
    match below.iter().copied().max_by(f64::total_cmp).filter(|_| even) {
        // The halves first: the sum may be beyond all numbers.
        Some(lower) if lower != upper => lower / 2.0 + upper / 2.0,
        _ => upper,
    }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn of_an_even_number_the_mean_of_the_two_in_the_middle() {
        assert_eq!(median(&mut [5.0, 1.0, 3.0]), 3.0);
        assert_eq!(median(&mut [5.0, 1.0, 4.0, 3.0]), 3.5);
        assert_eq!(median(&mut [f64::MAX, f64::MAX]), f64::MAX);
        assert_eq!(median(&mut [7.0]), 7.0);
    }
}
