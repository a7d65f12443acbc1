//! The robust rules against plain ones written apart, and what they promise: the order of arrival does not matter,
//! what all agree on comes out, and Byzantine contributions up to the breakdown point, and no further, are borne.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails the test")]

mod plain;

use plain::Vector;
use proptest::prelude::*;
use std::collections::BTreeMap;
use stepgrad_contract::aggregation::{Aggregation, Clip};
use stepgrad_contract::anomaly::Why;
use stepgrad_contract::progress::Sums;
use stepgrad_contract::tensors::{Dtype, Tensor, TensorFile};
use stepgrad_contract::{ErrorKind, FunctionError};
use stepgrad_runtime::aggregation::{Contribution, Ground, Outcome, aggregate};

const MEDIAN: Aggregation = Aggregation::CoordinateMedian;
const GEOMETRIC: Aggregation = Aggregation::GeometricMedian;

/// An origin for every tensor or for none; the loss after a contribution is the sum of its squares.
struct Given {
    origin: BTreeMap<String, Tensor>,
}

impl Given {
    fn nothing() -> Self {
        Self { origin: BTreeMap::new() }
    }

    fn at(origin: &Vector) -> Self {
        Self { origin: file(origin).tensors }
    }
}

impl Ground for Given {
    fn origin(&self, name: &str) -> Option<&Tensor> {
        self.origin.get(name)
    }

    fn loss(&self, contribution: Option<&TensorFile>) -> Result<f64, FunctionError> {
        Ok(contribution.map_or(10.0, |file| loss(&vector(&file.tensors))))
    }
}

fn loss(vector: &Vector) -> f64 {
    vector.iter().map(|value| value * value / 100.0).sum()
}

/// A vector as a file of two tensors, the second in double precision, and a count.
fn file(vector: &Vector) -> TensorFile {
    let (one, other) = vector.split_at(vector.len() / 2);
    let single: Vec<f32> = one.iter().map(|value| *value as f32).collect();
    let double = other.iter().flat_map(|value| value.to_le_bytes()).collect();
    let double = Tensor { dtype: Dtype::F64, shape: vec![other.len()], data: double };
    TensorFile {
        tensors: BTreeMap::from([
            ("a".to_owned(), Tensor::f32(vec![single.len()], &single)),
            ("b".to_owned(), double),
            ("count".to_owned(), Tensor::i64(vec![], &[7])),
        ]),
        sums: Sums { samples: 3, loss: 1.0, correct: 1 },
    }
}

fn vector(tensors: &BTreeMap<String, Tensor>) -> Vector {
    let doubles = tensors["b"].data.as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes));
    tensors["a"].as_f32().unwrap().into_iter().map(f64::from).chain(doubles).collect()
}

fn contributions(vectors: &[Vector]) -> Vec<Contribution> {
    (1..).zip(vectors).map(|(peer, vector)| Contribution { peer, file: file(vector) }).collect()
}

fn apply(rule: Aggregation, vectors: &[Vector]) -> Outcome {
    aggregate(&rule, 0, contributions(vectors), &Given::nothing()).unwrap()
}

fn near(found: &Vector, expected: &Vector, tolerance: f64) -> bool {
    let scale = expected.iter().map(|value| value.abs()).fold(1.0, f64::max);
    found.len() == expected.len()
        && found.iter().zip(expected).all(|(one, other)| (one - other).abs() <= tolerance * scale)
}

/// Values that single precision holds, with ties.
fn vectors(peers: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Vector>> {
    (peers, 2..9_usize).prop_flat_map(|(peers, length)| {
        let value = (-400_i32..400).prop_map(|value| f64::from(value) / 16.0);
        prop::collection::vec(prop::collection::vec(value, length), peers)
    })
}

/// Every rule that can take `peers`, set to bear as many as it can.
fn rules(peers: usize) -> Vec<Aggregation> {
    let peers = peers as u32;
    let mut rules = vec![
        MEDIAN,
        GEOMETRIC,
        Aggregation::TrimmedMean { trim: (peers - 1) / 2 },
        Aggregation::Zeno { byzantine: peers - 1, rho: 0.01, batches: 1 },
        Aggregation::NormClipping(Clip::Threshold(5.0)),
        Aggregation::NormClipping(Clip::MedianMultiple(1.0)),
    ];
    if peers >= 3 {
        let byzantine = (peers - 3) / 2;
        rules.push(Aggregation::Krum { byzantine });
        rules.push(Aggregation::MultiKrum { byzantine, select: peers - byzantine });
    }
    rules
}

proptest! {
    #[test]
    fn each_rule_is_the_plain_one(vectors in vectors(3..9)) {
        let count = vectors.len();
        let byzantine = (count - 3) / 2;
        let origin: Vector = vectors[0].iter().map(|value| value / 2.0 + 1.0).collect();
        let losses: Vec<f64> = vectors.iter().map(loss).collect();
        let longest = plain::median_length(&vectors, &origin);
        let expected = [
            (MEDIAN, plain::coordinate_median(&vectors)),
            (Aggregation::TrimmedMean { trim: (count as u32 - 1) / 2 }, plain::trimmed_mean(&vectors, (count - 1) / 2)),
            (Aggregation::TrimmedMean { trim: 1 }, plain::trimmed_mean(&vectors, 1)),
            (Aggregation::TrimmedMean { trim: 0 }, plain::mean(&vectors)),
            (Aggregation::Krum { byzantine: byzantine as u32 }, plain::multi_krum(&vectors, byzantine, 1)),
            (
                Aggregation::MultiKrum { byzantine: byzantine as u32, select: (count - byzantine) as u32 },
                plain::multi_krum(&vectors, byzantine, count - byzantine),
            ),
            (
                Aggregation::Zeno { byzantine: 1, rho: 0.01, batches: 1 },
                plain::zeno(&vectors, &origin, 1, 0.01, 10.0, &losses),
            ),
            (Aggregation::NormClipping(Clip::Threshold(9.0)), plain::norm_clipping(&vectors, &origin, 9.0)),
            (
                Aggregation::NormClipping(Clip::MedianMultiple(0.75)),
                plain::norm_clipping(&vectors, &origin, 0.75 * longest),
            ),
        ];
        for (rule, expected) in expected {
            let found = aggregate(&rule, 0, contributions(&vectors), &Given::at(&origin)).unwrap();
            prop_assert!(near(&vector(&found.tensors), &expected, 1e-6), "{:?}: {:?} {:?}", rule, found, expected);
            prop_assert_eq!(found.tensors["count"].as_i64().unwrap(), [7]);
        }
        // A least sum can be had at several points: the sum is what counts. Near a contribution the iteration
        // creeps, and is ended.
        let found = vector(&apply(GEOMETRIC, &vectors).tensors);
        let (sum, least) =
            (plain::spread(&vectors, &found), plain::spread(&vectors, &plain::geometric_median(&vectors)));
        prop_assert!(sum <= least * 1.005 + 1e-6, "{sum} {least}");
    }

    #[test]
    fn the_order_of_arrival_does_not_matter(vectors in vectors(2..9), turn in 0..8_usize) {
        for rule in rules(vectors.len()) {
            let ordered = contributions(&vectors);
            let mut other = ordered.clone();
            other.rotate_left(turn % vectors.len());
            other.swap(0, vectors.len() - 1);
            let one = aggregate(&rule, 0, ordered, &Given::nothing()).unwrap();
            prop_assert_eq!(&one, &aggregate(&rule, 0, other, &Given::nothing()).unwrap(), "{:?}", rule);
            prop_assert!(one.anomalous.is_sorted_by_key(|anomaly| anomaly.peer));
        }
    }

    /// What a peer is called matters only between equals.
    #[test]
    fn by_coordinates_the_names_of_peers_do_not_matter(vectors in vectors(2..9), turn in 0..8_usize) {
        let mut renamed = vectors.clone();
        renamed.rotate_left(turn % vectors.len());
        for rule in [MEDIAN, Aggregation::TrimmedMean { trim: (vectors.len() as u32 - 1) / 2 }] {
            prop_assert_eq!(apply(rule, &vectors).tensors, apply(rule, &renamed).tensors, "{:?}", rule);
        }
    }

    #[test]
    fn what_all_agree_on_comes_out(one in vectors(1..2), count in 1..9_usize) {
        let vectors = vec![one[0].clone(); count];
        for rule in rules(count) {
            // Clipping shortens what all agree on too, as far as it is too long; its multiple of 1 does not.
            if rule == Aggregation::NormClipping(Clip::Threshold(5.0)) {
                continue;
            }
            prop_assert_eq!(&vector(&apply(rule, &vectors).tensors), &one[0], "{:?}", rule);
        }
    }

    #[test]
    fn up_to_the_breakdown_point_each_coordinate_lies_between_honest_ones(
        honest in vectors(2..7),
        wild in prop::collection::vec(prop::num::f32::NORMAL, 60),
        few in 0..6_usize,
    ) {
        let byzantine = few.min(honest.len() - 1);
        let length = honest[0].len();
        let mut all = honest.clone();
        for place in 0..byzantine {
            let values = (0..length).map(|at| f64::from(wild[(place * length + at) % wild.len()]));
            all.insert(place, values.collect());
        }
        for rule in [MEDIAN, Aggregation::TrimmedMean { trim: byzantine as u32 }] {
            let found = vector(&apply(rule, &all).tensors);
            for (at, value) in found.iter().enumerate() {
                let column = honest.iter().map(|vector| vector[at]);
                let (low, high) = (column.clone().fold(f64::INFINITY, f64::min), column.fold(f64::NEG_INFINITY, f64::max));
                prop_assert!((low..=high).contains(value), "{:?}: {value} not in {low}..={high}", rule);
            }
        }
    }
}

/// Ten peers around (1, 2, …); the first `byzantine` of them at one far point together.
fn attacked(byzantine: usize, far: f64) -> Vec<Vector> {
    let honest = |peer: usize| (0..6).map(|at| at as f64 + ((peer * 7 + at * 3) % 5) as f64 / 10.0).collect();
    (0..10).map(|peer| if peer < byzantine { vec![far; 6] } else { honest(peer) }).collect()
}

/// How far the outcome is from the mean of the honest, over how far these are from it.
fn harm(rule: Aggregation, byzantine: usize, far: f64) -> f64 {
    let all = attacked(byzantine, far);
    let centre = plain::mean(&all[byzantine..]);
    let usual = plain::spread(&all[byzantine..], &centre) / (10 - byzantine) as f64;
    plain::spread(&[vector(&apply(rule, &all).tensors)], &centre) / usual
}

#[test]
fn the_breakdown_point_is_real() {
    for (rule, bears) in [
        (MEDIAN, 4),
        (GEOMETRIC, 4),
        (Aggregation::TrimmedMean { trim: 3 }, 3),
        (Aggregation::Krum { byzantine: 3 }, 3),
        (Aggregation::MultiKrum { byzantine: 3, select: 7 }, 3),
    ] {
        assert_eq!(rule.bears(10), Some(bears));
        for byzantine in 0..=bears {
            for far in [50.0, 1e6, -1e30] {
                let harm = harm(rule, byzantine as usize, far);
                // The geometric median of Chen et al. stays within a multiple that grows towards one half.
                assert!(harm < 12.0, "{rule:?} with {byzantine} at {far}: {harm}");
            }
        }
        // Some further ones together, and it is theirs: trimmed mean and multi-Krum at once, Krum where they are
        // n − f − 2 and more near each other, the medians with half.
        let broken = match rule {
            Aggregation::Krum { .. } => 6,
            Aggregation::CoordinateMedian | Aggregation::GeometricMedian => 6,
            _ => bears as usize + 1,
        };
        assert!(harm(rule, broken, 1e6) > 1e3, "{rule:?} with {broken}");
    }
    assert!(harm(Aggregation::MultiKrum { byzantine: 3, select: 7 }, 4, 1e6) > 1e3);
}

#[test]
fn clipping_bounds_what_one_can_do_and_zeno_bears_a_majority() {
    let clip = Aggregation::NormClipping(Clip::MedianMultiple(1.0));
    let one = vector(&apply(clip, &attacked(1, 1e30)).tensors);
    let none = vector(&apply(clip, &attacked(0, 0.0)).tensors);
    let longest = plain::median_length(&attacked(1, 1e30), &vec![0.0; 6]);
    let moved = plain::spread(&[one], &none);
    assert!(moved <= 2.1 * longest / 10.0, "{moved} of {longest}");

    let zeno = |byzantine| Aggregation::Zeno { byzantine, rho: 0.001, batches: 1 };
    for byzantine in [0, 3, 8] {
        assert!(harm(zeno(byzantine as u32), byzantine, 1e6) < 2.0, "{byzantine}");
    }
    assert!(harm(zeno(3), 4, 1e6) > 1e3);
}

#[test]
fn the_anomalous_are_told_by_name() {
    let told = |rule: Aggregation, byzantine: usize| -> Vec<(u32, Why)> {
        let found = apply(rule, &attacked(byzantine, 500.0));
        found.anomalous.iter().map(|anomaly| (anomaly.peer, anomaly.why)).collect()
    };
    let all = |why: Why| vec![(1, why), (2, why), (3, why)];
    assert_eq!(told(Aggregation::Krum { byzantine: 3 }, 3), all(Why::NotSelected));
    assert_eq!(told(Aggregation::MultiKrum { byzantine: 3, select: 2 }, 3), all(Why::NotSelected));
    assert_eq!(told(Aggregation::Zeno { byzantine: 3, rho: 0.0, batches: 1 }, 3), all(Why::LowScore));
    assert_eq!(told(Aggregation::TrimmedMean { trim: 3 }, 3), all(Why::Trimmed));
    assert_eq!(told(MEDIAN, 3), all(Why::Distant));
    assert_eq!(told(GEOMETRIC, 3), all(Why::Distant));
    assert_eq!(told(Aggregation::NormClipping(Clip::Threshold(100.0)), 3), all(Why::Clipped));
    for rule in [MEDIAN, GEOMETRIC, Aggregation::TrimmedMean { trim: 3 }] {
        assert_eq!(told(rule, 0), [], "{rule:?}");
    }
    let found = apply(Aggregation::NormClipping(Clip::Threshold(100.0)), &attacked(1, 500.0));
    let score = found.anomalous[0].score.unwrap();
    assert!((score - 5.0 * 6.0_f64.sqrt()).abs() < 1e-9, "{score}");
}

/// What is further than one chunk, and not a whole number of them.
#[test]
fn long_vectors_are_worked_through_whole() {
    let vectors: Vec<Vector> = (0..5)
        .map(|peer| (0..20_001).map(|at| f64::from(((at * 31 + peer * 17) % 97) as f32)).collect())
        .collect();
    assert!(near(&vector(&apply(MEDIAN, &vectors).tensors), &plain::coordinate_median(&vectors), 1e-7));
    let krum = Aggregation::Krum { byzantine: 1 };
    assert_eq!(vector(&apply(krum, &vectors).tensors), plain::multi_krum(&vectors, 1, 1));
}

#[test]
fn too_few_and_strangers_are_refused() {
    let refused = |rule: Aggregation, caught: u32, vectors: &[Vector]| {
        aggregate(&rule, caught, contributions(vectors), &Given::nothing()).unwrap_err()
    };
    let four = vec![vec![1.0, 2.0]; 4];
    let error = refused(Aggregation::Krum { byzantine: 1 }, 0, &four);
    assert_eq!(error.kind, ErrorKind::RobustnessLost);
    assert!(error.message.starts_with("krum needs 5 contributions (2·`byzantine` + 3) and has 4"), "{error}");
    let error = refused(Aggregation::TrimmedMean { trim: 1 }, 2, &four);
    assert_eq!(error.kind, ErrorKind::RobustnessLost);
    assert!(error.message.contains("2 contributions are no model's and trimmed_mean bears 1"), "{error}");
    assert_eq!(refused(MEDIAN, 4, &four).kind, ErrorKind::RobustnessLost);
    assert_eq!(refused(MEDIAN, 0, &[]).kind, ErrorKind::RobustnessLost);
    // One that was caught need not be borne.
    let krum = Aggregation::Krum { byzantine: 1 };
    assert!(aggregate(&krum, 1, contributions(&four), &Given::nothing()).is_ok());
    let strangers = [vec![1.0, 2.0], vec![1.0, 2.0, 3.0, 4.0]];
    assert_eq!(refused(MEDIAN, 0, &strangers).kind, ErrorKind::InvalidModel);
}
