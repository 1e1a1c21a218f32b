//! What a step keeps between its layers: the results of the convolutions, from
//! the way forward to the way back, and the gradients of the activations, from
//! one layer to the next. They share one piece of memory: a gradient lies where
//! results lay that nobody needs any more.

use std::cmp::Reverse;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use crate::buffer::{Buffer, Frame};
use crate::plan::{Plan, Shortcut};

/// Where everything lies, counted in floats as if there were one image.
pub(super) struct Layout {
    /// By unit: its convolution's results.
    results: Vec<Place>,
    /// By node: the gradients of its activations.
    gradients: Vec<Place>,
    length: usize,
}

/// Plain images of one frame.
#[derive(Clone, Copy)]
struct Place {
    start: usize,
    frame: Frame,
}

/// Something that is needed for some steps.
struct Value {
    length: usize,
    steps: RangeInclusive<usize>,
}

impl Layout {
    /// The way forward through node `i` is step `i`, of `n` nodes; the head is
    /// step `n`, and the way back through node `i` step `2n - i`.
    pub(super) fn new(plan: &Plan) -> Self {
        let nodes = &plan.nodes;
        let back = |index: usize| 2 * nodes.len() - index;
        let mut values = Vec::new();
        let mut results = vec![0; plan.units.len()];
        for (index, node) in nodes.iter().enumerate() {
            for unit in node.units() {
                results[unit] = values.len();
                values.push(Value {
                    length: node.frame.plain().length(),
                    steps: index..=back(index),
                });
            }
        }
        let mut gradients = vec![0; nodes.len()];
        for (index, node) in nodes.iter().enumerate().rev() {
            let first_written = match plan.shortcut_from(index) {
                Shortcut::Nothing => back(index + 1),
                Shortcut::Projection(_) => back(index + plan.block_length),
                // What goes back by an identity is there already.
                Shortcut::Identity => {
                    gradients[index] = gradients[index + plan.block_length];
                    let steps = &mut values[gradients[index]].steps;
                    *steps = *steps.start()..=back(index);
                    continue;
                }
            };
            gradients[index] = values.len();
            values.push(Value {
                length: node.frame.plain().length(),
                steps: first_written..=back(index),
            });
        }
        let starts = place(&values);
        let ends = starts.iter().zip(&values).map(|(start, value)| start + value.length);
        let length = ends.max().unwrap_or(0);
        let mut frames = vec![Frame::default(); results.len()];
        for node in nodes {
            node.units().for_each(|unit| frames[unit] = node.frame.plain());
        }
        let results = results.into_iter().zip(frames);
        let gradients = gradients.into_iter().zip(nodes.iter().map(|node| node.frame.plain()));
        let placed = |(value, frame): (usize, Frame)| Place {
            start: starts[value],
            frame,
        };
        Self {
            results: results.map(placed).collect(),
            gradients: gradients.map(placed).collect(),
            length,
        }
    }
}

/// A start for each value such that no two that share a step overlap. Those that
/// live long are placed first, each where there is room, as low as can be.
fn place(values: &[Value]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by_key(|&index| Reverse(values[index].steps.end() - values[index].steps.start()));
    let mut starts = vec![0; values.len()];
    for (position, &index) in order.iter().enumerate() {
        let Value { length, steps } = &values[index];
        let mut taken: Vec<Range<usize>> = order[..position]
            .iter()
            .filter(|&&other| steps.start() <= values[other].steps.end() && values[other].steps.start() <= steps.end())
            .map(|&other| starts[other]..starts[other] + values[other].length)
            .collect();
        taken.sort_by_key(|range| range.start);
        let mut start = 0;
        for range in taken {
            if start + length <= range.start {
                break;
            }
            start = start.max(range.end);
        }
        starts[index] = start;
    }
    starts
}

/// The memory of some images.
pub(super) struct Memory {
    layout: Arc<Layout>,
    images: usize,
    data: Buffer,
}

impl Memory {
    pub(super) fn new(layout: &Arc<Layout>, images: usize) -> Self {
        Self {
            layout: Arc::clone(layout),
            images,
            data: Buffer::zeros(images * layout.length),
        }
    }

    fn range(&self, place: Place, images: &Range<usize>) -> Range<usize> {
        let (start, length) = (place.start * self.images, place.frame.length());
        start + images.start * length..start + images.end * length
    }

    /// What the convolution of `unit` made of an image.
    pub(super) fn result(&self, unit: usize, image: usize) -> &[f32] {
        &self.data[self.range(self.layout.results[unit], &(image..image + 1))]
    }

    pub(super) fn results_mut(&mut self, unit: usize, images: &Range<usize>) -> &mut [f32] {
        let range = self.range(self.layout.results[unit], images);
        &mut self.data[range]
    }

    /// The gradient of the activation of `node` for an image.
    pub(super) fn gradient(&self, node: usize, image: usize) -> &[f32] {
        &self.data[self.range(self.layout.gradients[node], &(image..image + 1))]
    }

    pub(super) fn gradients_mut(&mut self, node: usize, images: &Range<usize>) -> &mut [f32] {
        let range = self.range(self.layout.gradients[node], images);
        &mut self.data[range]
    }

    /// [`gradient`](Self::gradient) of `node` to be changed, and
    /// [`result`](Self::result) of one of its units.
    pub(super) fn gradient_and_result(&mut self, node: usize, unit: usize, image: usize) -> (&mut [f32], &[f32]) {
        let image = image..image + 1;
        let gradient = self.range(self.layout.gradients[node], &image);
        let result = self.range(self.layout.results[unit], &image);
        #[expect(clippy::expect_used, reason = "both are needed at the same step")]
        let [gradient, result] = self.data.get_disjoint_mut([gradient, result]).expect("disjoint places");
        (gradient, result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_together_lies_apart_and_room_is_used_again() {
        let check = |values: &[(usize, RangeInclusive<usize>)], expect: &[usize]| {
            let values: Vec<Value> = values
                .iter()
                .map(|(length, steps)| Value {
                    length: *length,
                    steps: steps.clone(),
                })
                .collect();
            assert_eq!(place(&values), expect);
        };
        check(&[], &[]);
        check(&[(3, 0..=1), (3, 2..=3)], &[0, 0]);
        check(&[(3, 0..=1), (3, 1..=2)], &[0, 3]);
        // Results of three layers, and the gradients on the way back.
        check(
            &[(4, 0..=6), (2, 1..=5), (2, 2..=4), (2, 3..=4), (2, 4..=5), (4, 5..=6)],
            &[0, 4, 6, 8, 10, 6],
        );
        // A gap that is too small is left.
        check(
            &[(2, 0..=9), (1, 0..=3), (4, 0..=8), (2, 5..=6), (1, 5..=6)],
            &[0, 6, 2, 6, 8],
        );
    }
}
