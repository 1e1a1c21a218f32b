//! An [`Architecture`] worked out: the layers in the order in which they run,
//! and where each tensor lies among the network's numbers.
//!
//! The network is a chain of nodes. A node convolves the activation of the node
//! before it, pools, normalises, adds a shortcut from the end of the block
//! before, and rectifies. The stem is the first node; a transition is one; each
//! residual block is two, or three if it is a bottleneck.

use std::ops::Range;

use crate::architecture::{Architecture, ConvolutionShape, Part, Place};
use crate::buffer::{Frame, padded};
use crate::convolution::{Convolution, Pass};

/// Padding of the activations: half of a 3×3 kernel.
const BORDER: usize = 1;
/// Images are convolved together until they have as many pixels as this, so
/// that the weights of layers with small images are fetched less often.
const GROUP_PIXELS: usize = 256;

/// Identities in a row through which training computes an activation again
/// instead of keeping it: the activations of one block more are not kept. More
/// would save memory and cost time; docs/explanation/how-the-network-computes.md
/// has both.
const RECOMPUTED_IDENTITIES_MAX: usize = 2;

#[derive(Debug)]
pub(crate) struct Plan {
    /// Input images; their channels are not padded.
    pub(crate) image: Frame,
    pub(crate) nodes: Vec<Node>,
    /// Nodes of a residual block: how far back its shortcut starts.
    pub(crate) block_length: usize,
    /// The different frames of the nodes.
    pub(crate) frames: Vec<Frame>,
    pub(crate) units: Vec<Unit>,
    pub(crate) head: Head,
    pub(crate) tensors: Vec<Tensor>,
    /// Numbers in all tensors together.
    pub(crate) length: usize,
}

/// One activation and how it comes about.
#[derive(Debug)]
pub(crate) struct Node {
    /// How the activation lies in memory, and every image that leads to it.
    pub(crate) frame: Frame,
    /// Its index among the plan's.
    pub(crate) frame_index: usize,
    /// What the main unit's convolution gives, where the largest of each 2×2 of
    /// its pixels become the node's.
    pub(crate) unpooled: Option<IndexedFrame>,
    /// Index of the unit that reads the activation before.
    pub(crate) main: usize,
    pub(crate) shortcut: Shortcut,
    /// Whether training keeps the activation until it goes back. Where it does
    /// not, it computes the activation again of the node's own convolutions'
    /// results and, behind an identity, of the activation there.
    pub(crate) is_kept: bool,
}

/// How images lie in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IndexedFrame {
    pub(crate) frame: Frame,
    /// Its index among the plan's.
    pub(crate) frame_index: usize,
}

/// How many images of `frame` are convolved together, into it.
pub(crate) fn group_of(frame: Frame) -> usize {
    (GROUP_PIXELS / frame.pixels()).max(1)
}

/// `0..count` in runs of at most `length`.
pub(crate) fn runs(count: usize, length: usize) -> impl Iterator<Item = Range<usize>> {
    (0..count)
        .step_by(length)
        .map(move |start| start..count.min(start + length))
}

/// What is added before the rectifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shortcut {
    Nothing,
    /// The activation a block's length before.
    Identity,
    /// The result of the unit of this index, which reads that activation.
    Projection(usize),
}

impl Node {
    /// The units of this node.
    pub(crate) fn units(&self) -> impl Iterator<Item = usize> + use<> {
        let projection = match self.shortcut {
            Shortcut::Projection(unit) => Some(unit),
            Shortcut::Nothing | Shortcut::Identity => None,
        };
        std::iter::once(self.main).chain(projection)
    }

    /// The frame of what its convolutions give, by its index.
    pub(crate) fn convolved_index(&self) -> usize {
        self.unpooled.map_or(self.frame_index, |unpooled| unpooled.frame_index)
    }

    /// How many images are convolved together.
    pub(crate) fn group(&self) -> usize {
        group_of(self.unpooled.map_or(self.frame, |unpooled| unpooled.frame))
    }
}

/// A convolution and its batch normalisation.
#[derive(Debug)]
pub(crate) struct Unit {
    pub(crate) convolution: Convolution,
    /// Inputs that one output depends on.
    pub(crate) fan_in: usize,
    /// Whether the unit ends the residual branch of a block.
    pub(crate) ends_branch: bool,
    /// Whether the unit is all of a pooled transition.
    pub(crate) is_transition: bool,
    pub(crate) weights: Range<usize>,
    pub(crate) gamma: Range<usize>,
    pub(crate) beta: Range<usize>,
    pub(crate) running_mean: Range<usize>,
    pub(crate) running_variance: Range<usize>,
}

/// Average pool and dense layer.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) features: usize,
    pub(crate) classes: usize,
    pub(crate) weights: Range<usize>,
    pub(crate) bias: Range<usize>,
}

impl Head {
    /// Its weights, each row padded to whole vectors.
    pub(crate) fn packed_weights(&self) -> usize {
        self.classes * padded(self.features)
    }

    /// Packs its weights among the network's `values`. The padding of `packed`
    /// is zero and stays so.
    pub(crate) fn pack(&self, values: &[f32], packed: &mut [f32]) {
        let rows = packed.chunks_exact_mut(padded(self.features));
        for (row, weights) in rows.zip(values[self.weights.clone()].chunks_exact(self.features)) {
            row[..self.features].copy_from_slice(weights);
        }
    }
}

/// A named part of the network's numbers.
#[derive(Debug)]
pub(crate) struct Tensor {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) range: Range<usize>,
    pub(crate) role: Role,
}

/// How training treats a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Trained, with weight decay.
    Weight,
    /// Trained, without: biases and normalisations.
    Offset,
    /// Running mean, moved by the forward pass.
    Mean,
    /// Running variance, likewise; not negative.
    Variance,
}

impl Plan {
    /// `architecture` must be valid.
    pub(crate) fn new(architecture: &Architecture) -> Self {
        let (kernel, _) = architecture.stem();
        let image = Frame {
            height: architecture.input.height,
            width: architecture.input.width,
            depth: architecture.input.channels,
            border: kernel / 2,
        };
        let block_length = architecture.block.length();
        let mut tensors = Tensors::default();
        let mut nodes: Vec<Node> = Vec::new();
        let mut frames = Frames::default();
        let mut units = Vec::new();
        for shape in architecture.convolutions() {
            let (is_projection, ends_branch) = match shape.place {
                Place::Stem | Place::Transition { .. } => (false, false),
                Place::Block { part, .. } => (part == Part::Projection, part as usize + 1 == block_length),
            };
            let distance = if is_projection { block_length + 1 } else { 1 };
            let source = nodes.len().checked_sub(distance);
            let source = source.map_or(image, |index| nodes[index].frame);
            let output = frames.of((shape.height, shape.width), shape.outputs);
            let unit = units.len();
            let convolution = Convolution::new(&shape, source, output.frame);
            units.push(Unit::new(&shape, ends_branch, convolution, &mut tensors));
            match nodes.last_mut() {
                // Its node, the last of the block, is already there.
                Some(node) if is_projection => node.shortcut = Shortcut::Projection(unit),
                _ => {
                    let IndexedFrame { frame, frame_index } = frames.of(shape.pooled(), shape.outputs);
                    nodes.push(Node {
                        frame,
                        frame_index,
                        // Of a single pixel there is nothing to pool.
                        unpooled: (output.frame != frame).then_some(output),
                        main: unit,
                        shortcut: if ends_branch {
                            Shortcut::Identity
                        } else {
                            Shortcut::Nothing
                        },
                        is_kept: false,
                    });
                }
            }
        }
        // How many identities each activation is computed again through.
        let mut depths = vec![0; nodes.len()];
        for index in block_length..nodes.len() {
            if nodes[index].shortcut == Shortcut::Identity {
                depths[index] = depths[index - block_length] + 1;
                nodes[index].is_kept = depths[index] > RECOMPUTED_IDENTITIES_MAX;
            }
            if nodes[index].is_kept {
                depths[index] = 0;
            }
        }
        let (classes, features) = (architecture.classes, architecture.features());
        let head = Head {
            features,
            classes,
            weights: tensors.push("classifier.weight", &[classes, features], Role::Weight),
            bias: tensors.push("classifier.bias", &[classes], Role::Offset),
        };
        Self {
            image,
            nodes,
            block_length,
            frames: frames.0,
            units,
            head,
            tensors: tensors.list,
            length: tensors.length,
        }
    }

    /// Nodes whose activations inference needs at the same time: a block and
    /// what it started from.
    pub(crate) fn alive(&self) -> usize {
        self.block_length + 1
    }

    /// How far before a node the activation is that one of its units reads.
    pub(crate) fn distance(&self, is_main: bool) -> usize {
        if is_main { 1 } else { self.block_length }
    }

    /// The shortcut that starts at the activation of node `index`.
    pub(crate) fn shortcut_from(&self, index: usize) -> Shortcut {
        let end = self.nodes.get(index + self.block_length);
        end.map_or(Shortcut::Nothing, |node| node.shortcut)
    }

    /// Floats of the largest packed weights of a main unit and of a projection,
    /// for any pass.
    pub(crate) fn packed_lengths(&self) -> [usize; 2] {
        [0, 1].map(|slot| {
            let units = self.nodes.iter().filter_map(|node| node.units().nth(slot));
            let lengths = units.flat_map(|unit| {
                let Convolution { forward, backward, .. } = &self.units[unit].convolution;
                [Some(forward), backward.as_ref()]
                    .into_iter()
                    .flatten()
                    .map(Pass::weights)
            });
            lengths.max().unwrap_or(0)
        })
    }

    /// Floats of the longest part of a packed weight gradient, of a main unit and
    /// of a projection.
    pub(crate) fn gradient_part_lengths(&self) -> [usize; 2] {
        [0, 1].map(|slot| {
            let units = self.nodes.iter().filter_map(|node| node.units().nth(slot));
            let lengths = units.flat_map(|unit| {
                let convolution = &self.units[unit].convolution;
                let parts = convolution.gradient_parts();
                parts.map(|blocks| convolution.gradient_length(&blocks))
            });
            lengths.max().unwrap_or(0)
        })
    }

    /// Most numbers that are updated at once: those of a part of a layer.
    pub(crate) fn updated_length_max(&self) -> usize {
        let units = self.units.iter().flat_map(|unit| {
            let parts = unit.convolution.gradient_parts();
            parts.map(|blocks| unit.convolution.weights_of(&blocks).len().max(2 * unit.gamma.len()))
        });
        let head = self.head.weights.len() + self.head.bias.len();
        units.max().unwrap_or(0).max(head)
    }

    /// Floats of working memory that any convolution needs.
    pub(crate) fn workspace(&self) -> usize {
        let units = self.units.iter().map(|unit| unit.convolution.workspace());
        units.max().unwrap_or(0)
    }

    /// The frame of the last activation.
    pub(crate) fn last_frame(&self) -> Frame {
        self.nodes.last().map_or(self.image, |node| node.frame)
    }
}

impl Unit {
    fn new(shape: &ConvolutionShape, ends_branch: bool, convolution: Convolution, tensors: &mut Tensors) -> Self {
        let (convolution_name, norm) = match shape.place {
            Place::Stem => ("stem.conv".to_owned(), "stem.norm".to_owned()),
            Place::Transition { stage } => (format!("stage{stage}.conv"), format!("stage{stage}.norm")),
            Place::Block { stage, block, part } => {
                let block = format!("stage{stage}.block{block}");
                match part {
                    Part::First => (format!("{block}.conv1"), format!("{block}.norm1")),
                    Part::Second => (format!("{block}.conv2"), format!("{block}.norm2")),
                    Part::Third => (format!("{block}.conv3"), format!("{block}.norm3")),
                    Part::Projection => (format!("{block}.shortcut.conv"), format!("{block}.shortcut.norm")),
                }
            }
        };
        let weights = [shape.outputs, shape.inputs, shape.kernel, shape.kernel];
        let channels = [shape.outputs];
        Self {
            convolution,
            fan_in: shape.inputs * shape.kernel * shape.kernel,
            ends_branch,
            is_transition: matches!(shape.place, Place::Transition { .. }),
            weights: tensors.push(&format!("{convolution_name}.weight"), &weights, Role::Weight),
            gamma: tensors.push(&format!("{norm}.weight"), &channels, Role::Offset),
            beta: tensors.push(&format!("{norm}.bias"), &channels, Role::Offset),
            running_mean: tensors.push(&format!("{norm}.running_mean"), &channels, Role::Mean),
            running_variance: tensors.push(&format!("{norm}.running_var"), &channels, Role::Variance),
        }
    }
}

/// The different frames, as they are met.
#[derive(Default)]
struct Frames(Vec<Frame>);

impl Frames {
    /// The frame of activations, and its index.
    fn of(&mut self, (height, width): (usize, usize), channels: usize) -> IndexedFrame {
        let frame = Frame {
            height,
            width,
            depth: padded(channels),
            border: BORDER,
        };
        let frame_index = self.0.iter().position(|known| *known == frame).unwrap_or_else(|| {
            self.0.push(frame);
            self.0.len() - 1
        });
        IndexedFrame { frame, frame_index }
    }
}

#[derive(Default)]
struct Tensors {
    list: Vec<Tensor>,
    length: usize,
}

impl Tensors {
    fn push(&mut self, name: &str, shape: &[usize], role: Role) -> Range<usize> {
        let range = self.length..self.length + shape.iter().product::<usize>();
        self.length = range.end;
        let (name, shape) = (name.to_owned(), shape.to_vec());
        self.list.push(Tensor {
            name,
            shape,
            range: range.clone(),
            role,
        });
        range
    }
}
