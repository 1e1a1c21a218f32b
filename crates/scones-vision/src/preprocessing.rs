//! From an image of any size to the numbers that the network reads: the same steps in training and
//! in prediction, stored in the model.

use image::{
    RgbImage,
    imageops::{self, FilterType},
};
use serde::{Deserialize, Serialize};

use crate::dataset::{Dataset, Label};

/// Smallest deviation taken: a channel that hardly varies is not blown up.
const DEVIATION_MIN: f32 = 1.0 / 255.0;

/// How an image becomes the network's input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocessing {
    /// Width of the input, in pixels.
    pub width: u32,
    /// Height of the input, in pixels.
    pub height: u32,
    /// The shortest side is fitted to this before the middle is cut out. Without it, an image of
    /// another size than the input is fitted to just cover it.
    pub resize: Option<u32>,
    /// Mean of each channel of the training images, from 0 to 1.
    pub mean: [f32; 3],
    /// Standard deviation of each channel of the training images.
    pub deviation: [f32; 3],
}

/// How an image of any size is scaled to cover the network's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fit {
    /// As in [`Preprocessing`].
    pub width: u32,
    /// As in [`Preprocessing`].
    pub height: u32,
    /// As in [`Preprocessing`].
    pub resize: Option<u32>,
}

impl Fit {
    /// Fits the shortest side, and leaves the rest to a crop. An image that needs no fitting is
    /// not touched.
    #[must_use]
    pub fn apply(self, image: &RgbImage) -> Option<RgbImage> {
        let (width, height) = image.dimensions();
        let scale = match self.resize {
            Some(shortest) if width.min(height) == shortest => return None,
            Some(shortest) => f64::from(shortest) / f64::from(width.min(height)),
            None if (width, height) == (self.width, self.height) => return None,
            None => {
                let across = f64::from(self.width) / f64::from(width);
                across.max(f64::from(self.height) / f64::from(height))
            }
        };
        let scaled = |side: u32, least: u32| ((f64::from(side) * scale).round() as u32).max(least);
        // No side may exceed what the crop can use by far, however long and thin the image is.
        let longest = 64 * self.width.max(self.height).max(self.resize.unwrap_or(0));
        let (across, down) = (scaled(width, self.width), scaled(height, self.height));
        Some(imageops::resize(
            image,
            across.min(longest),
            down.min(longest),
            FilterType::Triangle,
        ))
    }
}

impl Preprocessing {
    /// Measures the channels of a training set.
    #[must_use]
    pub fn measure(width: u32, height: u32, resize: Option<u32>, training: &Dataset<impl Label>) -> Self {
        let mut histogram = [[0_u64; 256]; 3];
        for sample in &training.samples {
            for pixel in sample.image.pixels() {
                for (counts, &value) in histogram.iter_mut().zip(&pixel.0) {
                    counts[usize::from(value)] += 1;
                }
            }
        }
        let moments = histogram.map(|counts| moments(&counts));
        Self {
            width,
            height,
            resize,
            mean: moments.map(|(mean, _)| mean),
            deviation: moments.map(|(_, deviation)| deviation.max(DEVIATION_MIN)),
        }
    }

    /// Floats in one image of the input.
    #[must_use]
    pub fn length(&self) -> usize {
        (self.width * self.height * 3) as usize
    }

    /// How an image is scaled before the middle is cut out.
    #[must_use]
    pub fn fit(&self) -> Fit {
        Fit {
            width: self.width,
            height: self.height,
            resize: self.resize,
        }
    }

    /// Writes the middle of a fitted image, normalised, to `out`, row by row, red, green, blue;
    /// mirrored left to right if asked.
    ///
    /// # Panics
    /// If `out` does not have [`length`](Self::length) floats, or the image is smaller than the
    /// input, which a fitted one never is.
    pub fn write(&self, image: &RgbImage, mirror: bool, out: &mut [f32]) {
        assert_eq!(out.len(), self.length());
        let (left, top) = ((image.width() - self.width) / 2, (image.height() - self.height) / 2);
        let table = self.table();
        let row_pixels = self.width as usize;
        let rows = out.as_chunks_mut::<3>().0.chunks_exact_mut(row_pixels);
        for (y, row) in rows.enumerate() {
            let start = ((top as usize + y) * image.width() as usize + left as usize) * 3;
            let source = image.as_raw()[start..start + row_pixels * 3].as_chunks::<3>().0;
            for (x, bytes) in source.iter().enumerate() {
                let place = if mirror { row_pixels - 1 - x } else { x };
                row[place] = std::array::from_fn(|channel| table[channel][usize::from(bytes[channel])]);
            }
        }
    }

    /// Normalises a channel's value from 0 to 255.
    pub(crate) fn normalize(&self, channel: usize, value: f32) -> f32 {
        (value / 255.0 - self.mean[channel]) / self.deviation[channel]
    }

    fn table(&self) -> [[f32; 256]; 3] {
        std::array::from_fn(|channel| std::array::from_fn(|value| self.normalize(channel, value as f32)))
    }
}

/// Mean and standard deviation of bytes counted by value, as shares of 255.
fn moments(counts: &[u64; 256]) -> (f32, f32) {
    let total = counts.iter().sum::<u64>().max(1) as f64;
    let values = || {
        counts
            .iter()
            .enumerate()
            .map(|(value, &count)| (value as f64 / 255.0, count as f64))
    };
    let mean = values().map(|(value, count)| value * count).sum::<f64>() / total;
    let variance = values()
        .map(|(value, count)| (value - mean).powi(2) * count)
        .sum::<f64>()
        / total;
    (mean as f32, variance.sqrt() as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Sample;

    fn preprocessing(resize: Option<u32>) -> Preprocessing {
        Preprocessing {
            width: 4,
            height: 2,
            resize,
            mean: [0.0; 3],
            deviation: [1.0 / 255.0; 3],
        }
    }

    fn check(width: u32, height: u32, resize: Option<u32>, expect: Option<(u32, u32)>) {
        let fitted = preprocessing(resize).fit().apply(&RgbImage::new(width, height));
        assert_eq!(fitted.map(|image| image.dimensions()), expect);
    }

    #[test]
    fn images_are_fitted_to_cover_the_input() {
        check(4, 2, None, None);
        check(8, 8, None, Some((4, 4)));
        check(8, 2, None, Some((8, 2)));
        check(1, 1, None, Some((4, 4)));
        check(5, 9, Some(5), None);
        check(10, 20, Some(5), Some((5, 10)));
        check(1, 8000, None, Some((4, 256)));
    }

    #[test]
    fn the_middle_is_normalised_and_mirrored() {
        let image = RgbImage::from_fn(6, 4, |x, y| image::Rgb([x as u8, y as u8, 7]));
        let mut out = vec![0.0; 24];
        preprocessing(None).write(&image, false, &mut out);
        let near = |out: &[f32], expect: [f32; 3]| out.iter().zip(expect).all(|(a, b)| (a - b).abs() < 1e-4);
        assert!(
            near(&out[..3], [1.0, 1.0, 7.0]) && near(&out[21..], [4.0, 2.0, 7.0]),
            "{out:?}"
        );
        preprocessing(None).write(&image, true, &mut out);
        assert!(
            near(&out[..3], [4.0, 1.0, 7.0]) && near(&out[21..], [1.0, 2.0, 7.0]),
            "{out:?}"
        );
    }

    #[test]
    fn channels_are_measured() {
        let sample = |shade| Sample {
            image: RgbImage::from_pixel(2, 2, image::Rgb([shade, 255, 51])),
            label: 0,
            name: String::new(),
        };
        let set = Dataset {
            classes: vec!["a".into()],
            samples: vec![sample(0), sample(255)],
            ..Dataset::default()
        };
        let measured = Preprocessing::measure(2, 2, None, &set);
        assert_eq!(measured.mean, [0.5, 1.0, 0.2]);
        assert_eq!(measured.deviation, [0.5, DEVIATION_MIN, DEVIATION_MIN]);
    }
}
