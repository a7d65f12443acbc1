//! The rules by which what peers published becomes one, by name and setting, and how many peers each needs.
//! How they are computed stands with the functions; here is what the compiler and the functions agree on.

use serde::{Deserialize, Serialize};

/// How the contributions become one. A *Byzantine* peer publishes what it likes.
///
/// But for the mean, every rule takes all peers as equals: the number of samples that a peer says it has is a
/// claim that a Byzantine one makes as it likes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregation {
    /// The mean, weighted by samples. One Byzantine peer can make it anything.
    #[default]
    Mean,
    /// The median of each coordinate (Yin et al. 2018).
    CoordinateMedian,
    /// The mean of each coordinate without its `trim` smallest and largest values (Yin et al. 2018).
    TrimmedMean {
        /// Values left out at each end.
        trim: u32,
    },
    /// The contribution nearest to its neighbours (Blanchard et al. 2017).
    Krum {
        /// Byzantine peers that it is to bear.
        byzantine: u32,
    },
    /// The mean of the `select` contributions nearest to their neighbours (Blanchard et al. 2017).
    MultiKrum {
        /// Byzantine peers that it is to bear.
        byzantine: u32,
        /// Contributions averaged.
        select: u32,
    },
    /// The point with the least sum of distances to all (Chen, Su and Xu 2017; Pillutla et al. 2022).
    GeometricMedian,
    /// The mean of those that lower the loss on held-out batches most (Xie, Koyejo and Gupta 2019).
    Zeno {
        /// Byzantine peers that it is to bear: as many of the lowest scores are left out.
        byzantine: u32,
        /// What the squared length of an update costs in its score.
        rho: f64,
        /// Held-out batches that a round's scores are computed on.
        batches: u32,
    },
    /// The mean of updates that are shortened to a longest length (Sun et al. 2019).
    NormClipping(Clip),
}

/// The longest length of an update.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clip {
    /// This Euclidean length.
    Threshold(f64),
    /// This times the median of the round's lengths (Geyer, Klein and Nabi 2017).
    MedianMultiple(f64),
}

impl Aggregation {
    /// The name in a spec.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::CoordinateMedian => "coordinate_median",
            Self::TrimmedMean { .. } => "trimmed_mean",
            Self::Krum { .. } => "krum",
            Self::MultiKrum { .. } => "multi_krum",
            Self::GeometricMedian => "geometric_median",
            Self::Zeno { .. } => "zeno",
            Self::NormClipping(_) => "norm_clipping",
        }
    }

    /// Whether it is the plain mean, which needs nothing checked and nothing reported.
    #[must_use]
    pub const fn is_mean(&self) -> bool {
        matches!(self, Self::Mean)
    }

    /// Contributions that it needs at the least, where `caught` others were left out before it for what anyone
    /// can see (no finite numbers, another model's tensors, no right signature). Those are Byzantine
    /// contributions that it has no longer to bear. `None` where more were caught than it is set to bear: then
    /// nothing is known of the rest either.
    #[must_use]
    pub fn least(&self, caught: u32) -> Option<u32> {
        let krum = |byzantine: u32| byzantine.checked_mul(2)?.checked_add(3);
        match self {
            Self::Mean | Self::NormClipping(_) => Some(1),
            // More than half of all have to be left.
            Self::CoordinateMedian | Self::GeometricMedian => caught.checked_add(1),
            Self::TrimmedMean { trim } => trim.checked_sub(caught)?.checked_mul(2)?.checked_add(1),
            Self::Krum { byzantine } => krum(byzantine.checked_sub(caught)?),
            Self::MultiKrum { byzantine, select } => {
                let byzantine = byzantine.checked_sub(caught)?;
                Some(krum(byzantine)?.max(byzantine.checked_add(*select)?))
            }
            Self::Zeno { byzantine, .. } => byzantine.checked_sub(caught)?.checked_add(1),
        }
    }

    /// Byzantine peers among `peers` that it bears; `None` for clipping, which bounds what each can do but
    /// leaves none out.
    #[must_use]
    pub const fn bears(&self, peers: u32) -> Option<u32> {
        match self {
            Self::Mean => Some(0),
            Self::CoordinateMedian | Self::GeometricMedian => Some(peers.saturating_sub(1) / 2),
            Self::TrimmedMean { trim } => Some(*trim),
            Self::Krum { byzantine } | Self::MultiKrum { byzantine, .. } | Self::Zeno { byzantine, .. } => {
                Some(*byzantine)
            }
            Self::NormClipping(_) => None,
        }
    }

    /// Why it needs as many as [`Aggregation::least`] says.
    #[must_use]
    pub const fn condition(&self) -> &'static str {
        match self {
            Self::Mean | Self::NormClipping(_) | Self::CoordinateMedian | Self::GeometricMedian => "one",
            Self::TrimmedMean { .. } => "more than twice `trim`",
            Self::Krum { .. } => "2·`byzantine` + 3",
            Self::MultiKrum { .. } => "2·`byzantine` + 3, and `byzantine` + `select`",
            Self::Zeno { .. } => "more than `byzantine`",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Aggregation, Clip};

    #[test]
    fn each_rule_says_how_many_it_needs() {
        use Aggregation::{CoordinateMedian, GeometricMedian, Krum, Mean, MultiKrum, TrimmedMean, Zeno};
        for (rule, caught, least) in [
            (Mean, 0, Some(1)),
            (CoordinateMedian, 0, Some(1)),
            (GeometricMedian, 2, Some(3)),
            (TrimmedMean { trim: 2 }, 0, Some(5)),
            (TrimmedMean { trim: 2 }, 1, Some(3)),
            (TrimmedMean { trim: 2 }, 3, None),
            (Krum { byzantine: 1 }, 0, Some(5)),
            (Krum { byzantine: 1 }, 1, Some(3)),
            (MultiKrum { byzantine: 1, select: 4 }, 0, Some(5)),
            (MultiKrum { byzantine: 1, select: 6 }, 0, Some(7)),
            (Zeno { byzantine: 3, rho: 0.0, batches: 1 }, 0, Some(4)),
            (Aggregation::NormClipping(Clip::Threshold(1.0)), 5, Some(1)),
            (Krum { byzantine: u32::MAX }, 0, None),
        ] {
            assert_eq!(rule.least(caught), least, "{rule:?} {caught}");
        }
        assert_eq!(CoordinateMedian.bears(10), Some(4));
        assert_eq!(GeometricMedian.bears(11), Some(5));
    }

    #[test]
    fn it_is_written_as_in_a_spec() {
        for (rule, text) in [
            (Aggregation::Mean, r#""mean""#),
            (Aggregation::GeometricMedian, r#""geometric_median""#),
            (
                Aggregation::MultiKrum { byzantine: 1, select: 2 },
                r#"{"multi_krum":{"byzantine":1,"select":2}}"#,
            ),
            (
                Aggregation::NormClipping(Clip::MedianMultiple(2.0)),
                r#"{"norm_clipping":{"median_multiple":2.0}}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&rule).unwrap(), text);
            assert_eq!(serde_json::from_str::<Aggregation>(text).unwrap(), rule);
        }
    }
}
