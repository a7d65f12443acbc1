//! The rules by which what peers published becomes one, one file each. [`Mean`] adds files up as they come; the
//! robust rules look at all contributions side by side, and say which of them are out of the ordinary.
//!
//! All are computed on one thread in a fixed order, ascending by peer, in double precision; of equals the
//! lowest peer goes first. So every peer comes to the same bytes, in whatever order contributions arrive. The
//! robust rules hold the files as they were read and work through them in chunks: nothing as large as a model
//! stands beside the files and the result.
//!
//! They take finite contributions of one form ([`Form`], [`is_finite`]): what is not, is left out before, and
//! counts as caught. All take peers as equals, whatever number of samples these claim to have.

mod chunks;
mod coordinate_median;
mod counts;
mod distances;
mod geometric_median;
mod krum;
mod mean;
mod norm_clipping;
mod trimmed_mean;
mod zeno;

pub use mean::Mean;

use std::collections::BTreeMap;
use stepgrad_contract::aggregation::Aggregation;
use stepgrad_contract::anomaly::Anomaly;
use stepgrad_contract::tensors::{Dtype, Tensor, TensorFile};
use stepgrad_contract::{ErrorKind, FunctionError};

/// What one peer published.
#[derive(Debug, Clone)]
pub struct Contribution {
    /// The peer.
    pub peer: u32,
    /// Its gradients or parameters, and buffers.
    pub file: TensorFile,
}

/// What a rule made of the contributions.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The one for all.
    pub tensors: BTreeMap<String, Tensor>,
    /// Who is out of the ordinary, ascending by peer.
    pub anomalous: Vec<Anomaly>,
}

/// What some rules need to know beside the contributions.
pub trait Ground {
    /// The tensor that a contribution's is a successor of, so that the update is the difference: parameters
    /// under model averaging, and buffers. `None` where the contribution itself is the update: gradients.
    fn origin(&self, name: &str) -> Option<&Tensor>;

    /// The loss on held-out samples after the update of `contribution`, or before any for `None`.
    ///
    /// # Errors
    /// Where the model cannot be computed; not where the loss is not finite.
    fn loss(&self, contribution: Option<&TensorFile>) -> Result<f64, FunctionError>;
}

/// Makes one of `contributions` by a robust rule, of which `caught` others were left out before.
///
/// # Errors
/// [`ErrorKind::Internal`] for the plain mean, which is [`Mean`]'s; [`ErrorKind::RobustnessLost`] with fewer contributions than the rule needs; [`ErrorKind::InvalidModel`] where
/// they are of different models; what `ground` fails with.
pub fn aggregate(
    rule: &Aggregation,
    caught: u32,
    mut contributions: Vec<Contribution>,
    ground: &dyn Ground,
) -> Result<Outcome, FunctionError> {
    contributions.sort_by_key(|contribution| contribution.peer);
    let all = contributions.as_slice();
    let enough = rule.least(caught).is_some_and(|least| all.len() >= least.max(1) as usize);
    let (Some(first), true) = (all.first(), enough) else {
        return Err(too_few(rule, caught, all.len()));
    };
    let form = Form::of(&first.file);
    if let Some(other) = all.iter().find(|other| !form.fits(&other.file)) {
        let message =
            format!("what peer {} published is not of the model of peer {}'s", other.peer, first.peer);
        return Err(FunctionError::new(ErrorKind::InvalidModel, message));
    }
    // What is caught need not be borne any more.
    let left = |bears: u32| bears.saturating_sub(caught) as usize;
    match *rule {
        Aggregation::Mean => {
            let message = "the mean is taken file by file, and by no rule that sees all of them";
            Err(FunctionError::new(ErrorKind::Internal, message))
        }
        Aggregation::CoordinateMedian => Ok(coordinate_median::aggregate(all)),
        Aggregation::TrimmedMean { trim } => Ok(trimmed_mean::aggregate(all, left(trim))),
        Aggregation::Krum { byzantine } => Ok(krum::aggregate(all, left(byzantine), 1)),
        Aggregation::MultiKrum { byzantine, select } => {
            Ok(krum::aggregate(all, left(byzantine), select.max(1) as usize))
        }
        Aggregation::GeometricMedian => Ok(geometric_median::aggregate(all)),
        Aggregation::Zeno { byzantine, rho, .. } => zeno::aggregate(all, left(byzantine), rho, ground),
        Aggregation::NormClipping(clip) => norm_clipping::aggregate(all, clip, ground),
    }
}

/// The error of a rule that has to do with less than it needs.
#[must_use]
pub fn too_few(rule: &Aggregation, caught: u32, left: usize) -> FunctionError {
    let message = match rule.least(caught) {
        Some(least) => format!(
            "{} needs {least} contributions ({}) and has {left}: raise fault_tolerance.quorum, or let it bear fewer",
            rule.name(),
            rule.condition()
        ),
        None => format!(
            "{caught} contributions are no model's and {} bears {}: more peers are Byzantine than it is set to bear",
            rule.name(),
            rule.bears(0).unwrap_or(0)
        ),
    };
    FunctionError::new(ErrorKind::RobustnessLost, message)
}

/// The names, types and shapes of a file's tensors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form(BTreeMap<String, (Dtype, Vec<usize>)>);

impl Form {
    /// The form of `file`.
    #[must_use]
    pub fn of(file: &TensorFile) -> Self {
        let form = |(name, tensor): (&String, &Tensor)| (name.clone(), (tensor.dtype, tensor.shape.clone()));
        Self(file.tensors.iter().map(form).collect())
    }

    /// Whether `file` has this form.
    #[must_use]
    pub fn fits(&self, file: &TensorFile) -> bool {
        let mut pairs = file.tensors.iter().zip(&self.0);
        self.0.len() == file.tensors.len()
            && pairs.all(|((name, tensor), (wanted, (dtype, shape)))| {
                (name, &tensor.dtype, &tensor.shape) == (wanted, dtype, shape)
            })
    }
}

/// Whether all that a file holds and claims are finite numbers.
#[must_use]
pub fn is_finite(file: &TensorFile) -> bool {
    file.sums.loss.is_finite() && file.tensors.values().all(Tensor::is_finite)
}
