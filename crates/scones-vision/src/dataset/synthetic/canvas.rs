//! A small painter: shapes by their distance functions on a fine grid, averaged down.

use image::{Rgb, RgbImage};

use super::SIDE;
use crate::random::Random;

/// Fine cells along each side of a pixel.
const FINE: usize = 3;
const GRID: usize = SIDE as usize * FINE;

/// Red, green and blue from 0 to 1.
pub(super) type Colour = [f32; 3];
/// Horizontal and vertical position, in units of the image's side; (0, 0) is top left.
pub(super) type Point = (f32, f32);

pub(super) struct Canvas {
    cells: Vec<Colour>,
    /// From picture to drawing coordinates: rotation and scale, then a shift.
    matrix: [f32; 4],
    shift: Point,
}

impl Canvas {
    /// A background that goes from one colour at the top to another at the bottom.
    pub(super) fn new(top: Colour, bottom: Colour) -> Self {
        let row = |y: usize| {
            let share = y as f32 / GRID as f32;
            std::array::from_fn(|channel| top[channel] * (1.0 - share) + bottom[channel] * share)
        };
        let cells = (0..GRID * GRID).map(|at| row(at / GRID)).collect();
        Self {
            cells,
            matrix: [1.0, 0.0, 0.0, 1.0],
            shift: (0.0, 0.0),
        }
    }

    /// Draws what follows turned by `angle` radians, scaled, mirrored and moved about the middle.
    pub(super) fn turn(&mut self, angle: f32, scale: f32, mirror: bool, right: f32, down: f32) {
        let (sin, cos) = angle.sin_cos();
        let side = if mirror { -1.0 } else { 1.0 };
        self.matrix = [side * cos / scale, side * sin / scale, -sin / scale, cos / scale];
        self.shift = (right, down);
    }

    fn paint(&mut self, colour: Colour, inside: impl Fn(f32, f32) -> bool) {
        let [a, b, c, d] = self.matrix;
        for (at, cell) in self.cells.iter_mut().enumerate() {
            let x = (at % GRID) as f32 / GRID as f32 - 0.5 - self.shift.0;
            let y = (at / GRID) as f32 / GRID as f32 - 0.5 - self.shift.1;
            if inside(a * x + b * y + 0.5, c * x + d * y + 0.5) {
                *cell = colour;
            }
        }
    }

    pub(super) fn disc(&mut self, centre: Point, radius: f32, colour: Colour) {
        self.ellipse(centre, radius, radius, colour);
    }

    pub(super) fn ellipse(&mut self, (cx, cy): Point, across: f32, down: f32, colour: Colour) {
        self.paint(colour, |x, y| {
            ((x - cx) / across).powi(2) + ((y - cy) / down).powi(2) < 1.0
        });
    }

    pub(super) fn ring(&mut self, (cx, cy): Point, radius: f32, width: f32, colour: Colour) {
        self.paint(colour, |x, y| ((x - cx).hypot(y - cy) - radius).abs() < width);
    }

    /// A line with round ends, `width` to each side.
    pub(super) fn line(&mut self, from: Point, to: Point, width: f32, colour: Colour) {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let length_squared = (dx * dx + dy * dy).max(1e-9);
        self.paint(colour, |x, y| {
            let along = (((x - from.0) * dx + (y - from.1) * dy) / length_squared).clamp(0.0, 1.0);
            (x - from.0 - along * dx).hypot(y - from.1 - along * dy) < width
        });
    }

    /// Averages down to pixels, then varies light and contrast, blurs and adds noise.
    pub(super) fn finish(self, random: &mut Random) -> RgbImage {
        let mut pixels: Vec<Colour> = (0..SIDE * SIDE).map(|at| self.average(at as usize)).collect();
        if random.chance(0.5) {
            pixels = blur(&pixels, random.between(0.1, 0.7));
        }
        let (contrast, light) = (random.between(0.55, 1.15), random.between(-0.15, 0.15));
        let noise = random.between(0.01, 0.08);
        let mut shade = |value: f32| {
            let value = (value - 0.5) * contrast + 0.5 + light + noise * random.normal();
            (value * 255.0).round().clamp(0.0, 255.0) as u8
        };
        let bytes = pixels.iter().flatten().map(|&value| shade(value)).collect::<Vec<u8>>();
        let mut image = RgbImage::new(SIDE, SIDE);
        for (pixel, bytes) in image.pixels_mut().zip(bytes.as_chunks::<3>().0) {
            *pixel = Rgb(*bytes);
        }
        image
    }

    fn average(&self, pixel: usize) -> Colour {
        let (x, y) = (pixel % SIDE as usize * FINE, pixel / SIDE as usize * FINE);
        let mut sum = [0.0; 3];
        for row in y..y + FINE {
            for cell in &self.cells[row * GRID + x..row * GRID + x + FINE] {
                for (total, value) in sum.iter_mut().zip(cell) {
                    *total += value;
                }
            }
        }
        sum.map(|total| total / (FINE * FINE) as f32)
    }
}

/// Mixes each pixel with the mean of its four neighbours.
fn blur(pixels: &[Colour], share: f32) -> Vec<Colour> {
    let side = SIDE as usize;
    let mixed = |at: usize| {
        let (x, y) = (at % side, at / side);
        let around = [
            y * side + x.saturating_sub(1),
            y * side + (x + 1).min(side - 1),
            y.saturating_sub(1) * side + x,
            (y + 1).min(side - 1) * side + x,
        ];
        std::array::from_fn(|channel| {
            let mean = around.iter().map(|&near| pixels[near][channel]).sum::<f32>() / 4.0;
            pixels[at][channel] * (1.0 - share) + mean * share
        })
    };
    (0..pixels.len()).map(mixed).collect()
}
