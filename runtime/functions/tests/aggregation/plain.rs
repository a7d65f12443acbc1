//! The rules on plain vectors in double precision, written apart from the crate, as their papers' definitions
//! read. Slow and simple.

pub(crate) type Vector = Vec<f64>;

fn distance(one: &Vector, other: &Vector) -> f64 {
    one.iter().zip(other).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

fn mean_of(vectors: &[&Vector]) -> Vector {
    let coordinate = |at: usize| vectors.iter().map(|v| v[at]).sum::<f64>() / vectors.len() as f64;
    (0..vectors[0].len()).map(coordinate).collect()
}

pub(crate) fn mean(vectors: &[Vector]) -> Vector {
    mean_of(&vectors.iter().collect::<Vec<_>>())
}

fn by_coordinate(vectors: &[Vector], of: impl Fn(Vec<f64>) -> f64) -> Vector {
    let sorted = |at: usize| {
        let mut column: Vec<f64> = vectors.iter().map(|v| v[at]).collect();
        column.sort_by(|a, b| a.partial_cmp(b).unwrap());
        column
    };
    (0..vectors[0].len()).map(|at| of(sorted(at))).collect()
}

/// Yin et al. 2018, Definition 1.
pub(crate) fn coordinate_median(vectors: &[Vector]) -> Vector {
    by_coordinate(vectors, |sorted| {
        let half = sorted.len() / 2;
        if sorted.len() % 2 == 1 { sorted[half] } else { (sorted[half - 1] + sorted[half]) / 2.0 }
    })
}

/// Yin et al. 2018, Definition 2.
pub(crate) fn trimmed_mean(vectors: &[Vector], trim: usize) -> Vector {
    by_coordinate(vectors, |sorted| {
        let kept = &sorted[trim..sorted.len() - trim];
        kept.iter().sum::<f64>() / kept.len() as f64
    })
}

/// Blanchard et al. 2017, section 4.
pub(crate) fn krum_scores(vectors: &[Vector], byzantine: usize) -> Vec<f64> {
    let score = |one: usize| {
        let mut distances: Vec<f64> = (0..vectors.len())
            .filter(|other| *other != one)
            .map(|other| distance(&vectors[one], &vectors[other]).powi(2))
            .collect();
        distances.sort_by(|a, b| a.partial_cmp(b).unwrap());
        distances[..vectors.len() - byzantine - 2].iter().sum()
    };
    (0..vectors.len()).map(score).collect()
}

/// Blanchard et al. 2017, section 6; `select` 1 is Krum.
pub(crate) fn multi_krum(vectors: &[Vector], byzantine: usize, select: usize) -> Vector {
    let scores = krum_scores(vectors, byzantine);
    let mut order: Vec<usize> = (0..vectors.len()).collect();
    order.sort_by(|a, b| scores[*a].partial_cmp(&scores[*b]).unwrap().then(a.cmp(b)));
    mean_of(&order[..select].iter().map(|place| &vectors[*place]).collect::<Vec<_>>())
}

/// The sum of the distances from `point`, which the geometric median makes least.
pub(crate) fn spread(vectors: &[Vector], point: &Vector) -> f64 {
    vectors.iter().map(|vector| distance(vector, point)).sum()
}

/// Chen, Su and Xu 2017, by Weiszfeld's iteration from the mean; where it ends is at least near the least.
pub(crate) fn geometric_median(vectors: &[Vector]) -> Vector {
    let mut point = mean(vectors);
    for _ in 0..5_000 {
        let weights: Vec<f64> = vectors.iter().map(|v| 1.0 / distance(v, &point).max(1e-9)).collect();
        let total: f64 = weights.iter().sum();
        let coordinate =
            |at: usize| vectors.iter().zip(&weights).map(|(v, w)| v[at] * w).sum::<f64>() / total;
        point = (0..point.len()).map(coordinate).collect();
    }
    point
}

/// Sun et al. 2019, around `origin`.
pub(crate) fn norm_clipping(vectors: &[Vector], origin: &Vector, longest: f64) -> Vector {
    let clipped: Vec<Vector> = vectors
        .iter()
        .map(|vector| {
            let factor = (longest / distance(vector, origin)).min(1.0);
            vector.iter().zip(origin).map(|(value, from)| from + (value - from) * factor).collect()
        })
        .collect();
    mean(&clipped)
}

/// Geyer et al. 2017: the (lower) median of the lengths.
pub(crate) fn median_length(vectors: &[Vector], origin: &Vector) -> f64 {
    let mut lengths: Vec<f64> = vectors.iter().map(|vector| distance(vector, origin)).collect();
    lengths.sort_by(|a, b| a.partial_cmp(b).unwrap());
    lengths[(lengths.len() - 1) / 2]
}

/// Xie, Koyejo and Gupta 2019, Algorithm 1, with the losses after each step given.
pub(crate) fn zeno(
    vectors: &[Vector],
    origin: &Vector,
    byzantine: usize,
    rho: f64,
    before: f64,
    after: &[f64],
) -> Vector {
    let score = |at: usize| before - after[at] - rho * distance(&vectors[at], origin).powi(2);
    let mut order: Vec<usize> = (0..vectors.len()).collect();
    order.sort_by(|a, b| score(*b).partial_cmp(&score(*a)).unwrap().then(a.cmp(b)));
    mean_of(&order[..vectors.len() - byzantine].iter().map(|place| &vectors[*place]).collect::<Vec<_>>())
}
