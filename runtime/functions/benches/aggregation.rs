//! What each rule costs beside the mean: ten peers' files of 207,000 parameters, in memory. Zeno's is without the
//! losses it asks for, which are forward passes over held-out batches. Run with
//! `cargo bench -p stepgrad-runtime --bench aggregation`.
#![expect(clippy::disallowed_methods, reason = "a bench measures time")]
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench prints, and fails by panicking")]

use std::collections::BTreeMap;
use std::time::Instant;
use stepgrad_contract::FunctionError;
use stepgrad_contract::aggregation::{Aggregation, Clip};
use stepgrad_contract::progress::Sums;
use stepgrad_contract::tensors::{Tensor, TensorFile};
use stepgrad_runtime::aggregation::{Contribution, Ground, Mean, aggregate};

const PEERS: u32 = 10;
const PARAMETERS: usize = 207_000;
const TIMES: usize = 7;

struct Nothing;

impl Ground for Nothing {
    fn origin(&self, _: &str) -> Option<&Tensor> {
        None
    }

    fn loss(&self, _: Option<&TensorFile>) -> Result<f64, FunctionError> {
        Ok(1.0)
    }
}

/// Values without a pattern that a branch predictor would learn.
fn contribution(peer: u32) -> Contribution {
    let mut state = u64::from(peer) + 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32 / 16_777_216.0) - 0.5
    };
    let values: Vec<f32> = (0..PARAMETERS).map(|_| next()).collect();
    let file = TensorFile {
        tensors: BTreeMap::from([("w".to_owned(), Tensor::f32(vec![PARAMETERS], &values))]),
        sums: Sums { samples: 32, loss: 1.0, correct: 1 },
    };
    Contribution { peer, file }
}

/// The median time of what makes one of contributions, in milliseconds.
fn time(contributions: &[Contribution], work: impl Fn(Vec<Contribution>)) -> f64 {
    let once = || {
        let all = contributions.to_vec();
        let start = Instant::now();
        work(all);
        start.elapsed().as_secs_f64() * 1e3
    };
    let mut times: Vec<f64> = (0..TIMES).map(|_| once()).collect();
    times.sort_by(f64::total_cmp);
    times[TIMES / 2]
}

fn main() {
    let contributions: Vec<Contribution> = (1..=PEERS).map(contribution).collect();
    let mean = time(&contributions, |all| {
        let mut mean = Mean::default();
        for Contribution { peer, file } in all {
            mean.add(&format!("peer {peer}"), file).unwrap();
        }
        std::hint::black_box(mean.finish());
    });
    println!("{PEERS} peers, {PARAMETERS} parameters, median of {TIMES}; the mean {mean:.2} ms");
    for rule in [
        Aggregation::CoordinateMedian,
        Aggregation::TrimmedMean { trim: 3 },
        Aggregation::Krum { byzantine: 3 },
        Aggregation::MultiKrum { byzantine: 3, select: 7 },
        Aggregation::GeometricMedian,
        Aggregation::Zeno { byzantine: 3, rho: 0.0005, batches: 1 },
        Aggregation::NormClipping(Clip::MedianMultiple(1.0)),
    ] {
        let milliseconds = time(&contributions, |all| drop(aggregate(&rule, 0, all, &Nothing).unwrap()));
        println!("{:>18} {milliseconds:>9.2} ms {:>7.1} × the mean", rule.name(), milliseconds / mean);
    }
}
