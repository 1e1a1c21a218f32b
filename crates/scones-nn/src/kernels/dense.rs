//! The dense layer on one image; rows of weights are padded to whole vectors.

use crate::simd::{Kernel, Simd};

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
        feature_gradient.fill([0.0; 16]);
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
