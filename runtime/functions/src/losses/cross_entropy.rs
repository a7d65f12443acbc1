//! Softmax cross-entropy.

use tch::{Reduction, TchError, Tensor};

pub(super) fn of_samples(scores: &Tensor, classes: &Tensor) -> Result<Tensor, TchError> {
    scores.f_cross_entropy_loss(classes, None::<Tensor>, Reduction::None, -100, 0.0)
}

#[cfg(test)]
mod tests {
    use tch::Tensor;

    #[test]
    fn agrees_with_the_definition() {
        let scores = Tensor::from_slice(&[1.0_f32, 2.0, 0.5, 0.0, 0.0, 0.0]).view([2, 3]);
        let losses = super::of_samples(&scores, &Tensor::from_slice(&[1_i64, 2])).unwrap();
        let first = (1_f64.exp() + 2_f64.exp() + 0.5_f64.exp()).ln() - 2.0;
        assert!((losses.double_value(&[0]) - first).abs() < 1e-6);
        assert!((losses.double_value(&[1]) - 3_f64.ln()).abs() < 1e-6);
    }
}
