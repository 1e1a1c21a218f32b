//! An [`Architecture`] worked out: the layers in the order in which they run,
//! and where each tensor lies among the network's numbers.
//!
//! The network is a chain of nodes. A node convolves the activation of the node
//! before it, normalises, adds a shortcut from the node before that, and
//! rectifies. The stem is the first node; each residual block is two.

use std::ops::Range;

use crate::architecture::{Architecture, ConvolutionShape, Part, Place};
use crate::buffer::{Frame, padded};
use crate::convolution::Convolution;

/// Padding of the activations: half of a 3×3 kernel.
const BORDER: usize = 1;

#[derive(Debug)]
pub(crate) struct Plan {
    /// Input images; their channels are not padded.
    pub(crate) image: Frame,
    pub(crate) nodes: Vec<Node>,
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
    /// Index of the unit that reads the activation before.
    pub(crate) main: usize,
    pub(crate) shortcut: Shortcut,
}

/// What is added before the rectifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shortcut {
    Nothing,
    /// The activation two nodes before.
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
}

/// A convolution and its batch normalisation.
#[derive(Debug)]
pub(crate) struct Unit {
    pub(crate) convolution: Convolution,
    /// Inputs that one output depends on.
    pub(crate) fan_in: usize,
    /// Whether the unit ends the residual branch of a block.
    pub(crate) ends_branch: bool,
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
        let mut tensors = Tensors::default();
        let mut nodes: Vec<Node> = Vec::new();
        let mut units = Vec::new();
        for shape in architecture.convolutions() {
            let frame = Frame {
                height: shape.height,
                width: shape.width,
                depth: padded(shape.outputs),
                border: BORDER,
            };
            let before = |distance: usize| {
                nodes
                    .len()
                    .checked_sub(distance)
                    .map_or(image, |index| nodes[index].frame)
            };
            let index = units.len();
            match shape.place {
                Place::Stem => {
                    let convolution = Convolution::new(&shape, image, frame);
                    units.push(Unit::new(&shape, convolution, &mut tensors));
                    nodes.push(Node {
                        frame,
                        main: index,
                        shortcut: Shortcut::Nothing,
                    });
                }
                Place::Block {
                    part: Part::Projection, ..
                } => {
                    // Its node, the second of the block, is already there.
                    let convolution = Convolution::new(&shape, before(3), frame);
                    let convolution = convolution.with_input_gradient(shape.stride);
                    units.push(Unit::new(&shape, convolution, &mut tensors));
                    if let Some(node) = nodes.last_mut() {
                        node.shortcut = Shortcut::Projection(index);
                    }
                }
                Place::Block { part, .. } => {
                    let convolution = Convolution::new(&shape, before(1), frame);
                    let convolution = convolution.with_input_gradient(shape.stride);
                    units.push(Unit::new(&shape, convolution, &mut tensors));
                    let shortcut = match part {
                        Part::Second => Shortcut::Identity,
                        Part::First | Part::Projection => Shortcut::Nothing,
                    };
                    nodes.push(Node {
                        frame,
                        main: index,
                        shortcut,
                    });
                }
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
            units,
            head,
            tensors: tensors.list,
            length: tensors.length,
        }
    }

    /// The frame of the last activation.
    pub(crate) fn last_frame(&self) -> Frame {
        self.nodes.last().map_or(self.image, |node| node.frame)
    }
}

impl Unit {
    fn new(shape: &ConvolutionShape, convolution: Convolution, tensors: &mut Tensors) -> Self {
        let (convolution_name, norm) = match shape.place {
            Place::Stem => ("stem.conv".to_owned(), "stem.norm".to_owned()),
            Place::Block { stage, block, part } => {
                let block = format!("stage{stage}.block{block}");
                match part {
                    Part::First => (format!("{block}.conv1"), format!("{block}.norm1")),
                    Part::Second => (format!("{block}.conv2"), format!("{block}.norm2")),
                    Part::Projection => (format!("{block}.shortcut.conv"), format!("{block}.shortcut.norm")),
                }
            }
        };
        let weights = [shape.outputs, shape.inputs, shape.kernel, shape.kernel];
        let channels = [shape.outputs];
        Self {
            convolution,
            fan_in: shape.inputs * shape.kernel * shape.kernel,
            ends_branch: matches!(shape.place, Place::Block { part: Part::Second, .. }),
            weights: tensors.push(&format!("{convolution_name}.weight"), &weights, Role::Weight),
            gamma: tensors.push(&format!("{norm}.weight"), &channels, Role::Offset),
            beta: tensors.push(&format!("{norm}.bias"), &channels, Role::Offset),
            running_mean: tensors.push(&format!("{norm}.running_mean"), &channels, Role::Mean),
            running_variance: tensors.push(&format!("{norm}.running_var"), &channels, Role::Variance),
        }
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
