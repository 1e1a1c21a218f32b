//! Drawn bicycles and motorcycles: a stand-in for photographs where none can be fetched.
//!
//! The two classes share two wheels, a frame, a fork and a saddle. They differ as the real ones
//! do, by how thick the wheels are, what fills the space between them, and where the rider sits,
//! and these measures overlap. Pose, colours, background, light, noise, blur and things in front
//! vary, so a small network has something to learn and cannot be right every time.

mod canvas;

use super::{Dataset, Sample};
use crate::random::Random;
use canvas::{Canvas, Colour, Point};

/// Width and height of a drawn image.
pub const SIDE: u32 = 32;

/// Names of the two classes, in the order of their labels.
pub const CLASSES: [&str; 2] = ["bicycle", "motorcycle"];

/// Draws `count` images, alternating between the classes. Equal arguments give equal pixels.
/// About 0.2 ms an image.
#[must_use]
pub fn draw(count: usize, seed: u64) -> Dataset {
    let source = Random::new(seed);
    let sample = |at: usize| {
        let label = at % 2;
        let mut random = source.part(at as u64);
        let image = scene(label == 1, &mut random).finish(&mut random);
        Sample {
            image,
            label,
            name: format!("{}_drawn_{at:06}.png", CLASSES[label]),
        }
    };
    Dataset {
        classes: CLASSES.map(str::to_owned).to_vec(),
        samples: (0..count).map(sample).collect(),
        ..Dataset::default()
    }
}

/// The measures of one vehicle, in units of the image's width.
struct Vehicle {
    rear: Point,
    front: Point,
    radius: f32,
    tyre: f32,
    tube: f32,
    paint: Colour,
    dark: Colour,
    /// 0 for bare tubes, 1 for a full body.
    bulk: f32,
}

fn scene(motorcycle: bool, random: &mut Random) -> Canvas {
    let mut canvas = Canvas::new(background(random), background(random));
    clutter(&mut canvas, random, 3);
    canvas.turn(
        random.between(-0.3, 0.3),
        random.between(0.72, 1.12),
        random.chance(0.5),
        random.between(-0.09, 0.09),
        random.between(-0.09, 0.09),
    );
    let vehicle = measure(motorcycle, random);
    wheels(&mut canvas, &vehicle, random);
    frame(&mut canvas, &vehicle, random);
    body(&mut canvas, &vehicle, random);
    if random.chance(0.35) {
        rider(&mut canvas, &vehicle, random);
    }
    canvas.turn(0.0, 1.0, false, 0.0, 0.0);
    let in_front = random.below(3);
    clutter(&mut canvas, random, in_front);
    canvas
}

/// The classes' ranges overlap in every single measure.
fn measure(motorcycle: bool, random: &mut Random) -> Vehicle {
    let (radius, tyre, tube, bulk, base) = if motorcycle {
        (
            random.between(0.13, 0.19),
            random.between(0.024, 0.06),
            random.between(0.016, 0.035),
            random.between(0.25, 1.0),
            random.between(0.25, 0.31),
        )
    } else {
        (
            random.between(0.15, 0.21),
            random.between(0.012, 0.034),
            random.between(0.012, 0.026),
            random.between(0.0, 0.45),
            random.between(0.23, 0.29),
        )
    };
    let ground = random.between(0.66, 0.74);
    let dark = random.between(0.02, 0.22);
    Vehicle {
        rear: (0.5 - base, ground),
        front: (0.5 + base, ground + random.between(-0.02, 0.02)),
        radius,
        tyre,
        tube,
        paint: [random.unit(), random.unit(), random.unit()],
        dark: [dark, dark, dark + random.between(0.0, 0.05)],
        bulk,
    }
}

fn wheels(canvas: &mut Canvas, vehicle: &Vehicle, random: &mut Random) {
    let Vehicle { radius, tyre, dark, .. } = *vehicle;
    let spokes = random.chance(0.5);
    for (x, y) in [vehicle.rear, vehicle.front] {
        canvas.ring((x, y), radius, tyre, dark);
        canvas.ring((x, y), radius - tyre, 0.012, [0.6; 3]);
        canvas.disc((x, y), 0.02 + 0.03 * vehicle.bulk, [0.45; 3]);
        if spokes {
            let turn = random.between(0.0, 3.0);
            for step in 0..4 {
                let angle = turn + step as f32 * std::f32::consts::FRAC_PI_4;
                let (dx, dy) = (radius * angle.cos(), radius * angle.sin());
                canvas.line((x - dx, y - dy), (x + dx, y + dy), 0.004, [0.55; 3]);
            }
        }
    }
}

fn frame(canvas: &mut Canvas, vehicle: &Vehicle, random: &mut Random) {
    let Vehicle {
        rear,
        front,
        tube,
        paint,
        dark,
        bulk,
        ..
    } = *vehicle;
    let height = random.between(0.20, 0.30) - 0.06 * bulk;
    let crank = (rear.0 + random.between(0.19, 0.25), rear.1);
    let seat = (rear.0 + random.between(0.12, 0.18), rear.1 - height);
    let head = (front.0 - random.between(0.08, 0.13), front.1 - height);
    for (from, to) in [
        (rear, crank),
        (rear, seat),
        (seat, crank),
        (seat, head),
        (crank, head),
        (head, front),
    ] {
        canvas.line(from, to, tube, paint);
    }
    let bar = (head.0 - random.between(-0.03, 0.06), head.1 - random.between(0.05, 0.1));
    canvas.line(head, bar, tube, dark);
    canvas.line(bar, (bar.0 - random.between(0.02, 0.07), bar.1 - 0.01), tube, dark);
    let saddle = random.between(0.05, 0.08) + 0.12 * bulk;
    canvas.line(
        (seat.0 - saddle, seat.1 - 0.03),
        (seat.0 + saddle * 0.7, seat.1 - 0.03),
        0.018 + 0.02 * bulk,
        dark,
    );
}

fn body(canvas: &mut Canvas, vehicle: &Vehicle, random: &mut Random) {
    let Vehicle {
        rear,
        front,
        paint,
        dark,
        bulk,
        radius,
        ..
    } = *vehicle;
    let middle = ((rear.0 + front.0) / 2.0, rear.1);
    if bulk > 0.12 {
        let engine = 0.02 + 0.10 * bulk;
        canvas.ellipse((middle.0, middle.1 - 0.05), engine * 1.2, engine, [0.35; 3]);
    }
    if bulk > 0.3 {
        let long = 0.06 + 0.09 * bulk;
        canvas.ellipse(
            (middle.0 + 0.05, middle.1 - 0.20),
            long,
            long * random.between(0.4, 0.7),
            paint,
        );
    }
    if bulk > 0.4 && random.chance(0.7) {
        canvas.line(
            (middle.0, middle.1 + 0.06),
            (rear.0 - 0.04, rear.1 + 0.03),
            0.022,
            [0.75; 3],
        );
    }
    if bulk > 0.55 && random.chance(0.6) {
        canvas.ellipse((front.0 - 0.07, front.1 - 0.25), 0.06, 0.09, paint);
    }
    if random.chance(0.25) {
        canvas.ellipse((rear.0 - 0.02, rear.1 - radius - 0.03), 0.09, 0.05, dark);
    }
}

fn rider(canvas: &mut Canvas, vehicle: &Vehicle, random: &mut Random) {
    let cloth = [random.unit(), random.unit(), random.unit()];
    let hip = (vehicle.rear.0 + 0.15, vehicle.rear.1 - 0.28);
    let shoulder = (hip.0 + random.between(0.04, 0.16), hip.1 - 0.2);
    canvas.line(hip, shoulder, 0.05, cloth);
    canvas.line(shoulder, (vehicle.front.0 - 0.12, vehicle.front.1 - 0.3), 0.022, cloth);
    canvas.line(hip, (hip.0 + 0.12, hip.1 + 0.12), 0.03, [0.15, 0.15, 0.3]);
    canvas.line(
        (hip.0 + 0.12, hip.1 + 0.12),
        (hip.0 + 0.07, hip.1 + 0.27),
        0.026,
        [0.15, 0.15, 0.3],
    );
    canvas.disc((shoulder.0 + 0.03, shoulder.1 - 0.08), 0.055, [0.8, 0.6, 0.5]);
}

fn background(random: &mut Random) -> Colour {
    if random.chance(0.35) {
        return [random.between(0.85, 1.0); 3];
    }
    [
        random.between(0.15, 0.95),
        random.between(0.15, 0.95),
        random.between(0.15, 0.95),
    ]
}

/// Things behind or in front: posts, boxes, bushes.
fn clutter(canvas: &mut Canvas, random: &mut Random, most: usize) {
    for _ in 0..random.below(most + 1) {
        let colour = [random.unit(), random.unit(), random.unit()];
        let at = (random.unit(), random.unit());
        if random.chance(0.5) {
            canvas.line(
                at,
                (at.0 + random.between(-0.2, 0.2), random.unit()),
                random.between(0.01, 0.06),
                colour,
            );
        } else {
            canvas.ellipse(at, random.between(0.03, 0.14), random.between(0.03, 0.14), colour);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::check;

    #[test]
    fn drawings_are_decided_by_the_seed_and_all_differ() {
        let drawn = draw(200, 7);
        assert_eq!(drawn, draw(200, 7));
        assert_ne!(drawn.samples[0].image, draw(1, 8).samples[0].image);
        assert_eq!(draw(50, 7).samples[49], drawn.samples[49]);
        assert_eq!(drawn.class_counts(), [100, 100]);
        assert_eq!(check::check(&drawn, Some(&draw(50, 9)), Some((SIDE, SIDE))), []);
    }
}
