//! The multi-class hinge loss: max(0, 1 + the highest other score − the score of the class) (Crammer and
//! Singer 2001, "On the algorithmic implementation of multiclass kernel-based vector machines").

use tch::{TchError, Tensor};

pub(super) fn of_samples(scores: &Tensor, classes: &Tensor) -> Result<Tensor, TchError> {
    let places = classes.f_unsqueeze(1)?;
    let own = scores.f_gather(1, &places, false)?.f_squeeze_dim(1)?;
    let (others, _) = scores.f_scatter_value(1, &places, f64::NEG_INFINITY)?.f_max_dim(1, false)?;
    others.f_sub(&own)?.f_add_scalar(1.0)?.f_relu()
}

#[cfg(test)]
mod tests {
    use tch::Tensor;

    #[test]
    fn agrees_with_the_definition() {
        let scores =
            Tensor::from_slice(&[1.0_f32, 2.0, 0.5, 3.0, 0.0, 0.0]).view([2, 3]).set_requires_grad(true);
        let losses = super::of_samples(&scores, &Tensor::from_slice(&[0_i64, 0])).unwrap();
        assert_eq!(Vec::<f32>::try_from(&losses).unwrap(), [2.0, 0.0]);
        losses.sum(tch::Kind::Float).backward();
        let gradient = Vec::<f32>::try_from(scores.grad().view([-1])).unwrap();
        assert_eq!(gradient, [-1.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
    }
}
