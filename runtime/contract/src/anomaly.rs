//! What an exchange found amiss with what peers published. Every peer computes the same report from the same
//! objects; a difference would be a second, different object under one key, which is an error.

use crate::signing::Refusal;
use serde::{Deserialize, Serialize};

/// Anomalous peers that a round's metrics name: they are carried from state to state. The object names all.
pub const NAMED: usize = 32;

/// What a round's exchange found amiss.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Anomalies {
    /// Ascending by peer.
    pub anomalous: Vec<Anomaly>,
    /// Why the exchange changed nothing, where it did not for want of contributions.
    pub skipped: Option<String>,
}

/// A peer whose contribution is out of the ordinary.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Anomaly {
    /// The peer.
    pub peer: u32,
    /// What is amiss.
    pub why: Why,
    /// By how much: see [`Why`]; absent where there is no finite number for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
}

/// What is amiss with a contribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// It holds a value, or claims a loss, that is not a finite number of single precision: left out.
    NotFinite,
    /// Its tensors are not those of the model, or it claims what no samples give, as more classified right than
    /// there are: left out.
    Misfit,
    /// It claims other samples than the peer has to work on in this round, none included: left out.
    Unscheduled,
    /// It is not signed: left out, as all that follow.
    Unsigned,
    /// Its signature is not the peer's, or of other content.
    Forged,
    /// The peer signed it for another round.
    Replayed,
    /// The peer signed it for another run.
    CrossRun,
    /// It is another peer's, or of a peer for which no key is listed.
    Foreign,
    /// Krum: among those farthest from their neighbours; the score is Krum's, a sum of squared distances.
    NotSelected,
    /// Trimmed mean: it was left out of most coordinates; the score is their share.
    Trimmed,
    /// Medians: far from the median; the score is its distance over the median of all distances.
    Distant,
    /// Zeno: among the lowest scores; the score is Zeno's.
    LowScore,
    /// Norm clipping: it was longer than is let through; the score is its length over the longest let through.
    Clipped,
}

impl Why {
    /// Whether such a contribution was left out before the rule looked at it, for what anyone can see.
    #[must_use]
    pub const fn is_caught(self) -> bool {
        matches!(self, Self::NotFinite | Self::Misfit | Self::Unscheduled) || self.is_refused()
    }

    /// Whether its signature did not hold.
    #[must_use]
    pub const fn is_refused(self) -> bool {
        matches!(self, Self::Unsigned | Self::Forged | Self::Replayed | Self::CrossRun | Self::Foreign)
    }

    /// As it stands in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotFinite => "not_finite",
            Self::Misfit => "misfit",
            Self::Unscheduled => "unscheduled",
            Self::Unsigned => "unsigned",
            Self::Forged => "forged",
            Self::Replayed => "replayed",
            Self::CrossRun => "cross_run",
            Self::Foreign => "foreign",
            Self::NotSelected => "not_selected",
            Self::Trimmed => "trimmed",
            Self::Distant => "distant",
            Self::LowScore => "low_score",
            Self::Clipped => "clipped",
        }
    }
}

impl From<Refusal> for Why {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unsigned => Self::Unsigned,
            Refusal::Forged => Self::Forged,
            Refusal::Replayed => Self::Replayed,
            Refusal::CrossRun => Self::CrossRun,
            Refusal::Foreign => Self::Foreign,
        }
    }
}

impl Anomaly {
    /// An anomaly; a score that is not finite is left out.
    #[must_use]
    pub fn new(peer: u32, why: Why, score: Option<f64>) -> Self {
        Self { peer, why, score: score.filter(|score| score.is_finite()) }
    }
}

impl std::fmt::Display for Anomaly {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "peer {} ({})", self.peer, self.why.name())
    }
}

#[cfg(test)]
mod tests {
    use super::{Anomaly, Why};

    #[test]
    fn a_name_is_what_stands_in_json() {
        for why in [
            Why::NotFinite,
            Why::Misfit,
            Why::Unscheduled,
            Why::Unsigned,
            Why::Forged,
            Why::Replayed,
            Why::CrossRun,
            Why::Foreign,
            Why::NotSelected,
            Why::Trimmed,
            Why::Distant,
            Why::LowScore,
            Why::Clipped,
        ] {
            assert_eq!(serde_json::to_value(why).unwrap(), why.name());
        }
        let endless = Anomaly::new(3, Why::Distant, Some(f64::INFINITY));
        assert_eq!(serde_json::to_string(&endless).unwrap(), r#"{"peer":3,"why":"distant"}"#);
        assert_eq!(endless.to_string(), "peer 3 (distant)");
    }
}
