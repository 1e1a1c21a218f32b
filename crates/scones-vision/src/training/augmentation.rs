//! Seeded random variations of training images.

use image::RgbImage;

use crate::{preprocessing::Preprocessing, random::Random};

/// How far images are varied. Zero everywhere varies nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Augmentation {
    /// Half of the images are mirrored left to right.
    pub mirror: bool,
    /// Largest shift, as a share of the side.
    pub shift: f32,
    /// Largest rotation to each side, in degrees.
    pub rotation: f32,
    /// Largest horizontal shear, as a share of the height.
    pub shear: f32,
    /// Largest change of scale: 0.2 means from 1/1.2 to 1.2.
    pub scale: f32,
    /// Largest change of the aspect ratio, likewise.
    pub aspect: f32,
    /// Largest change of hue (in units of two degrees), saturation and lightness (from 0 to 255).
    pub colour: [f32; 3],
    /// Share of the images with a square blotted out.
    pub cutout: f32,
    /// Largest side of that square, as a share of the image's.
    pub cutout_side: f32,
    /// Share of the images mixed with another one, labels too (Zhang et al., "mixup", 2017).
    pub mixup: f32,
}

impl Augmentation {
    /// No variation at all.
    pub const NONE: Self = Self {
        mirror: false,
        shift: 0.0,
        rotation: 0.0,
        shear: 0.0,
        scale: 0.0,
        aspect: 0.0,
        colour: [0.0; 3],
        cutout: 0.0,
        cutout_side: 0.0,
        mixup: 0.0,
    };
    /// AWS's `crop`.
    pub const CROP: Self = Self {
        mirror: true,
        shift: 0.125,
        ..Self::NONE
    };
    /// AWS's `crop_color`.
    pub const CROP_COLOR: Self = Self {
        colour: [36.0, 50.0, 50.0],
        ..Self::CROP
    };
    /// AWS's `crop_color_transform`.
    pub const CROP_COLOR_TRANSFORM: Self = Self {
        rotation: 10.0,
        shear: 0.1,
        aspect: 0.25,
        ..Self::CROP_COLOR
    };

    /// Writes a random variation of a fitted image, normalised, to `out`. About 50 microseconds
    /// for 32 x 32 pixels.
    pub(super) fn write(&self, image: &RgbImage, preprocessing: &Preprocessing, random: &mut Random, out: &mut [f32]) {
        let view = self.view(image, preprocessing, random);
        let colour = self.colour.map(|most| random.between(-most, most));
        let varies_colour = self.colour.iter().any(|&most| most > 0.0);
        let pixels = out.as_chunks_mut::<3>().0;
        for (y, row) in pixels.chunks_exact_mut(preprocessing.width as usize).enumerate() {
            for (x, pixel) in row.iter_mut().enumerate() {
                let (source_x, source_y) = view.source(x as f32, y as f32);
                let mut rgb = bilinear(image, source_x, source_y);
                if varies_colour {
                    rgb = shift_colour(rgb, colour);
                }
                *pixel = std::array::from_fn(|channel| preprocessing.normalize(channel, rgb[channel]));
            }
        }
        if random.chance(self.cutout) {
            self.cut_out(pixels, preprocessing, random);
        }
    }

    /// Draws where the input looks in the image.
    fn view(&self, image: &RgbImage, preprocessing: &Preprocessing, random: &mut Random) -> View {
        let (width, height) = (preprocessing.width as f32, preprocessing.height as f32);
        let (sin, cos) = random.between(-self.rotation, self.rotation).to_radians().sin_cos();
        let shear = random.between(-self.shear, self.shear);
        let ratio = |most: f32, random: &mut Random| (1.0 + most).powf(random.between(-1.0, 1.0));
        let scale = ratio(self.scale, random);
        let aspect = ratio(self.aspect, random).sqrt();
        let (across, down) = (scale * aspect, scale / aspect);
        let side = if self.mirror && random.chance(0.5) { -1.0 } else { 1.0 };
        // Whole pixels, so that a view that is only shifted is not blurred.
        let mut start = |image_side: u32, side: u32| {
            let most = (self.shift * side as f32) as usize;
            random.below((image_side - side) as usize + 2 * most + 1) as f32 - most as f32
        };
        let left = start(image.width(), preprocessing.width);
        let top = start(image.height(), preprocessing.height);
        let middle = ((width - 1.0) / 2.0, (height - 1.0) / 2.0);
        View {
            matrix: [
                side * across * cos,
                down * (shear - sin),
                side * across * sin,
                down * cos,
            ],
            from: middle,
            to: (middle.0 + left, middle.1 + top),
        }
    }

    /// Blots out a square with the mean colour (DeVries and Taylor, "Cutout", 2017).
    fn cut_out(&self, pixels: &mut [[f32; 3]], preprocessing: &Preprocessing, random: &mut Random) {
        let (width, height) = (preprocessing.width as usize, preprocessing.height as usize);
        let most = (self.cutout_side * width.min(height) as f32) as usize;
        let side = 1 + random.below(most.max(1));
        let (middle_x, middle_y) = (random.below(width), random.below(height));
        let left = middle_x.saturating_sub(side / 2);
        let right = (middle_x + side.div_ceil(2)).min(width);
        let top = middle_y.saturating_sub(side / 2);
        let bottom = (middle_y + side.div_ceil(2)).min(height);
        for row in pixels.chunks_exact_mut(width).take(bottom).skip(top) {
            row[left..right].fill([0.0; 3]);
        }
    }
}

/// An affine map from the input's pixels to the image's.
struct View {
    matrix: [f32; 4],
    from: (f32, f32),
    to: (f32, f32),
}

impl View {
    fn source(&self, x: f32, y: f32) -> (f32, f32) {
        let [a, b, c, d] = self.matrix;
        let (x, y) = (x - self.from.0, y - self.from.1);
        (a * x + b * y + self.to.0, c * x + d * y + self.to.1)
    }
}

/// The image between its pixels; outside it is mirrored at its border.
fn bilinear(image: &RgbImage, x: f32, y: f32) -> [f32; 3] {
    let (left, top) = (x.floor(), y.floor());
    let (right_share, low_share) = (x - left, y - top);
    let columns = [
        reflect(left as i32, image.width()),
        reflect(left as i32 + 1, image.width()),
    ];
    let rows = [
        reflect(top as i32, image.height()),
        reflect(top as i32 + 1, image.height()),
    ];
    let raw = image.as_raw();
    let at = |row: usize, column: usize| (row * image.width() as usize + column) * 3;
    let corners = [
        at(rows[0], columns[0]),
        at(rows[0], columns[1]),
        at(rows[1], columns[0]),
        at(rows[1], columns[1]),
    ];
    let shares = [
        (1.0 - right_share) * (1.0 - low_share),
        right_share * (1.0 - low_share),
        (1.0 - right_share) * low_share,
        right_share * low_share,
    ];
    std::array::from_fn(|channel| {
        corners
            .iter()
            .zip(shares)
            .map(|(corner, share)| f32::from(raw[corner + channel]) * share)
            .sum()
    })
}

fn reflect(at: i32, side: u32) -> usize {
    let last = side as i32 - 1;
    let at = if at < 0 { -at } else { at };
    let at = if at > last { 2 * last - at } else { at };
    at.clamp(0, last) as usize
}

/// Moves a colour (0 to 255) in hue, saturation and lightness, in OpenCV's eight-bit units, which
/// are AWS's.
fn shift_colour([red, green, blue]: [f32; 3], [hue, saturation, lightness]: [f32; 3]) -> [f32; 3] {
    let (high, low) = (red.max(green).max(blue), red.min(green).min(blue));
    let (sum, spread) = (high + low, high - low);
    // Half the spread of a fully saturated colour of this lightness.
    let room = |light: f32| 255.0 - (2.0 * light - 255.0).abs();
    let light = (sum / 2.0 + lightness).clamp(0.0, 255.0);
    let saturated = if spread > 0.0 { spread / room(sum / 2.0) } else { 0.0 };
    // A grey has no hue that more saturation could bring out.
    let saturated = if spread > 0.0 {
        (saturated + saturation / 255.0).clamp(0.0, 1.0)
    } else {
        0.0
    };
    let turn = if spread == 0.0 {
        0.0
    } else if high == red {
        (green - blue) / spread
    } else if high == green {
        (blue - red) / spread + 2.0
    } else {
        (red - green) / spread + 4.0
    };
    let turn = (turn + hue / 30.0).rem_euclid(6.0);
    let chroma = saturated * room(light);
    let channel = |offset: f32| {
        let position = (turn + offset).rem_euclid(6.0);
        light - chroma / 2.0 + chroma * (2.0 - (position - 3.0).abs()).clamp(0.0, 1.0)
    };
    // Red is strongest at 0 sixths, green at 2, blue at 4.
    [channel(3.0), channel(1.0), channel(5.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preprocessing() -> Preprocessing {
        Preprocessing {
            width: 8,
            height: 6,
            resize: None,
            mean: [0.0; 3],
            deviation: [1.0 / 255.0; 3],
        }
    }

    fn picture(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| image::Rgb([x as u8 * 9, y as u8 * 20, 99]))
    }

    fn varied(augmentation: &Augmentation, image: &RgbImage, seed: u64) -> Vec<f32> {
        let mut out = vec![0.0; 8 * 6 * 3];
        augmentation.write(image, &preprocessing(), &mut Random::new(seed), &mut out);
        out
    }

    fn close(left: &[f32], right: &[f32]) -> bool {
        left.iter().zip(right).all(|(a, b)| (a - b).abs() < 0.01)
    }

    #[test]
    fn nothing_varied_is_the_image_of_prediction() {
        for image in [picture(8, 6)] {
            let mut plain = vec![0.0; 8 * 6 * 3];
            preprocessing().write(&image, false, &mut plain);
            for seed in 0..20 {
                assert!(close(&varied(&Augmentation::NONE, &image, seed), &plain));
            }
            let mut mirrored = vec![0.0; 8 * 6 * 3];
            preprocessing().write(&image, true, &mut mirrored);
            let mirror = Augmentation {
                mirror: true,
                ..Augmentation::NONE
            };
            let results: Vec<_> = (0..20).map(|seed| varied(&mirror, &image, seed)).collect();
            assert!(results.iter().all(|out| close(out, &plain) || close(out, &mirrored)));
            assert!(results.iter().any(|out| close(out, &plain)) && results.iter().any(|out| close(out, &mirrored)));
        }
    }

    #[test]
    fn larger_images_are_cropped_on_whole_pixels() {
        let image = picture(11, 8);
        let crops: std::collections::BTreeSet<(i32, i32)> = (0..300)
            .map(|seed| varied(&Augmentation::NONE, &image, seed))
            .map(|out| {
                let (x, y) = (out[0] / 9.0, out[1] / 20.0);
                assert!((x - x.round()).abs() < 0.01 && (y - y.round()).abs() < 0.01, "{x} {y}");
                (x.round() as i32, y.round() as i32)
            })
            .collect();
        assert!(crops.contains(&(0, 0)) && crops.contains(&(3, 2)), "{crops:?}");
    }

    #[test]
    fn seeds_decide_everything_and_values_stay_in_range() {
        let strong = Augmentation {
            cutout: 0.5,
            cutout_side: 0.6,
            scale: 0.3,
            ..Augmentation::CROP_COLOR_TRANSFORM
        };
        let image = picture(8, 6);
        assert_eq!(varied(&strong, &image, 1), varied(&strong, &image, 1));
        assert_ne!(varied(&strong, &image, 1), varied(&strong, &image, 2));
        for seed in 0..200 {
            assert!(
                varied(&strong, &image, seed)
                    .iter()
                    .all(|value| (-0.1..=255.1).contains(value))
            );
        }
    }

    fn colour(from: [f32; 3], shift: [f32; 3], expect: [f32; 3]) {
        let got = shift_colour(from, shift);
        assert!(
            got.iter().zip(expect).all(|(a, b)| (a - b).abs() < 0.6),
            "{from:?} {shift:?}: {got:?}"
        );
    }

    #[test]
    fn colours_move_as_in_hls() {
        for rgb in [
            [255.0, 0.0, 0.0],
            [12.0, 200.0, 90.0],
            [40.0, 50.0, 250.0],
            [7.0, 7.0, 7.0],
            [200.0, 10.0, 190.0],
        ] {
            colour(rgb, [0.0; 3], rgb);
        }
        colour([255.0, 0.0, 0.0], [60.0, 0.0, 0.0], [0.0, 255.0, 0.0]);
        colour([0.0, 255.0, 0.0], [60.0, 0.0, 0.0], [0.0, 0.0, 255.0]);
        colour([200.0, 100.0, 100.0], [0.0, -255.0, 0.0], [150.0, 150.0, 150.0]);
        colour([100.0, 100.0, 100.0], [9.0, 40.0, 30.0], [130.0, 130.0, 130.0]);
    }
}
