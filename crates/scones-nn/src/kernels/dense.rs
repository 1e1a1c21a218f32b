//! The dense layer on one image; rows of weights are padded to whole vectors.

use crate::simd::{Kernel, LANES, Simd};

/// `logits[class] = bias[class] + weights[class] · features`.
pub(crate) struct Dense<'a> {
    pub(crate) features: &'a [f32],
    pub(crate) weights: &'a [f32],
    pub(crate) bias: &'a [f32],
    pub(crate) logits: &'a mut [f32],
}

impl Kernel for Dense<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let features = self.features.as_chunks().0;
        let rows = self.weights.chunks_exact(self.features.len());
        for ((row, bias), logit) in rows.zip(self.bias).zip(self.logits) {
            let mut sum = simd.splat(0.0);
            for (weight, feature) in row.as_chunks().0.iter().zip(features) {
                sum = simd.mul_add(simd.load(weight), simd.load(feature), sum);
            }
            *logit = bias + simd.sum(sum);
        }
    }
}

/// Adds an image's share to the gradients of a [`Dense`] layer, and overwrites
/// that of its features.
pub(crate) struct DenseGradient<'a> {
    pub(crate) features: &'a [f32],
    pub(crate) weights: &'a [f32],
    pub(crate) logit_gradient: &'a [f32],
    pub(crate) weight_gradient: &'a mut [f32],
    pub(crate) bias_gradient: &'a mut [f32],
    pub(crate) feature_gradient: &'a mut [f32],
}

impl Kernel for DenseGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let depth = self.features.len();
        let features = self.features.as_chunks().0;
        let feature_gradient = self.feature_gradient.as_chunks_mut().0;
        feature_gradient.fill([0.0; LANES]);
        let classes = self.logit_gradient.iter().zip(self.bias_gradient);
        let rows = self
            .weights
            .chunks_exact(depth)
            .zip(self.weight_gradient.chunks_exact_mut(depth));
        for ((&slope, bias), (weights, gradients)) in classes.zip(rows) {
            *bias += slope;
            let slope = simd.splat(slope);
            let weights = weights.as_chunks().0.iter().zip(gradients.as_chunks_mut().0);
            for ((weight, gradient), (feature, of_feature)) in weights.zip(features.iter().zip(&mut *feature_gradient))
            {
                let sum = simd.mul_add(simd.load(feature), slope, simd.load(gradient));
                simd.store(sum, gradient);
                let sum = simd.mul_add(simd.load(weight), slope, simd.load(of_feature));
                simd.store(sum, of_feature);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::SimdLevel;

    #[test]
    fn layer_and_gradient_equal_their_definition() {
        let (depth, classes) = (32, 3);
        let value = |index: usize| (index as f32 * 0.7).sin();
        let features: Vec<f32> = (0..depth).map(value).collect();
        let weights: Vec<f32> = (0..depth * classes).map(|i| value(i + 50)).collect();
        let (bias, slopes) = ([0.1, -0.2, 0.3], [1.0, -2.0, 0.5]);
        let close = |got: f32, expect: f32| assert!((got - expect).abs() < 1e-4, "{got} {expect}");
        for level in SimdLevel::available() {
            let mut logits = [0.0; 3];
            let (features, weights) = (&features, &weights);
            level.run(Dense {
                features,
                weights,
                bias: &bias,
                logits: &mut logits,
            });
            // Gradients are added to, the features' overwritten.
            let (mut of_weights, mut of_bias) = (vec![1.0; depth * classes], [1.0; 3]);
            let mut of_features = vec![9.0; depth];
            level.run(DenseGradient {
                features,
                weights,
                logit_gradient: &slopes,
                weight_gradient: &mut of_weights,
                bias_gradient: &mut of_bias,
                feature_gradient: &mut of_features,
            });
            for class in 0..classes {
                let row = &weights[class * depth..][..depth];
                let dot: f32 = row.iter().zip(features).map(|(w, f)| w * f).sum();
                close(logits[class], bias[class] + dot);
                close(of_bias[class], 1.0 + slopes[class]);
                for (got, feature) in of_weights[class * depth..][..depth].iter().zip(features) {
                    close(*got, 1.0 + slopes[class] * feature);
                }
            }
            for (index, got) in of_features.into_iter().enumerate() {
                let terms = (0..classes).map(|class| slopes[class] * weights[class * depth + index]);
                close(got, terms.sum());
            }
        }
    }
}
