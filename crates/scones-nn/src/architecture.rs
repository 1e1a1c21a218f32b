//! What a network looks like: the value that is validated, stored beside the
//! weights, and built from.

use serde::{Deserialize, Serialize};

use crate::buffer::padded;
use crate::error::Error;

/// Largest height and width of an input image, pixels.
pub const SIDE_MAX: usize = 4096;
/// Most channels of an input image or a layer.
pub const CHANNELS_MAX: usize = 4096;
/// Most classes.
pub const CLASSES_MAX: usize = 1 << 16;
/// Most residual stages.
pub const STAGES_MAX: usize = 16;
/// Most residual blocks in one stage.
pub const BLOCKS_MAX: usize = 256;
/// Most trainable parameters: 1 GiB of them.
pub const PARAMETERS_MAX: usize = 1 << 28;
/// Most numbers in one activation of one image: 512 MiB of them.
pub const ACTIVATION_MAX: usize = 1 << 27;
/// Inputs whose longer side exceeds this get the strided stem.
const SMALL_SIDE_MAX: usize = 64;

/// The size of an input image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// Rows of pixels.
    pub height: usize,
    /// Pixels a row.
    pub width: usize,
    /// Floats a pixel.
    pub channels: usize,
}

impl Shape {
    /// Floats in an image.
    pub fn length(&self) -> usize {
        self.height * self.width * self.channels
    }
}

/// A run of residual blocks of equal width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Channels of every 3×3 convolution; a bottleneck block gives four times
    /// as many.
    pub channels: usize,
    /// How many blocks.
    pub blocks: usize,
    /// By what the stage divides the sides of the image, 1 or 2; see
    /// [`Transition`].
    pub stride: usize,
}

/// How a stage comes to its width and size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transition {
    /// Its first block has the stage's stride, and a 1×1 convolution as its
    /// shortcut.
    #[default]
    Strided,
    /// A 3×3 convolution comes before its blocks, which may be none; where the
    /// stride is 2, the largest of each 2×2 of its results is taken before the
    /// normalisation. After Page, "How to Train Your ResNet", 2018, and Jordan,
    /// "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", 2024: it costs more
    /// than a stride and learns faster.
    Pooled,
}

impl Transition {
    /// Whether it is the one that stored architectures leave out.
    fn is_strided(&self) -> bool {
        *self == Self::Strided
    }
}

/// What a residual block is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Block {
    /// Two 3×3 convolutions.
    #[default]
    Basic,
    /// A 1×1, a 3×3 and a 1×1 convolution to four times as many channels; the
    /// 3×3 convolution strides, as in later work (the paper's first strides).
    Bottleneck,
}

impl Block {
    /// Whether it is the one that stored architectures leave out.
    fn is_basic(&self) -> bool {
        *self == Self::Basic
    }

    /// Channels that a block gives for each channel of its 3×3 convolution.
    fn expansion(self) -> usize {
        match self {
            Self::Basic => 1,
            Self::Bottleneck => 4,
        }
    }

    /// Its convolutions but for the shortcut's, as (part, kernel, whether it
    /// strides, whether it expands).
    fn parts(self) -> &'static [(Part, usize, bool, bool)] {
        match self {
            Self::Basic => &[(Part::First, 3, true, false), (Part::Second, 3, false, true)],
            Self::Bottleneck => &[
                (Part::First, 1, false, false),
                (Part::Second, 3, true, false),
                (Part::Third, 1, false, true),
            ],
        }
    }

    /// Convolutions on the residual branch.
    pub(crate) fn length(self) -> usize {
        self.parts().len()
    }
}

/// A residual classifier, after He et al., "Deep Residual Learning for Image
/// Recognition", 2015.
///
/// The stem is a 3×3 convolution, as in their CIFAR networks; where a side of
/// the input exceeds 64 pixels it is a 7×7 convolution of stride 4, which
/// shrinks as much as their ImageNet stem does in two steps. A block that
/// changes the shape has a 1×1 convolution as its shortcut (their option B);
/// behind a [`Transition::Pooled`] no basic block does.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    /// The size of an input image.
    pub input: Shape,
    /// Channels after the first convolution.
    pub stem_channels: usize,
    /// What the blocks of every stage are made of.
    #[serde(default, skip_serializing_if = "Block::is_basic")]
    pub block: Block,
    /// How every stage comes to its width and size.
    #[serde(default, skip_serializing_if = "Transition::is_strided")]
    pub transition: Transition,
    /// The stages, in order.
    pub stages: Vec<Stage>,
    /// How many classes are told apart.
    pub classes: usize,
}

impl Architecture {
    /// The network of `depth` layers: 18, 34, 50, 101, 152 and 200 as for
    /// ImageNet (64 to 512 channels, bottleneck blocks from 50), and otherwise
    /// 6n + 2 as for CIFAR (16 to 64 channels; 20, 32, 44, 56 and 110 in the
    /// paper).
    ///
    /// # Errors
    /// [`Error::Depth`] for any other depth, and what
    /// [`validate`](Self::validate) finds.
    pub fn resnet(depth: u32, input: Shape, classes: usize) -> Result<Self, Error> {
        const WIDE: &[usize] = &[64, 128, 256, 512];
        let (block, channels, blocks): (Block, &[usize], &[usize]) = match depth {
            18 => (Block::Basic, WIDE, &[2, 2, 2, 2]),
            34 => (Block::Basic, WIDE, &[3, 4, 6, 3]),
            50 => (Block::Bottleneck, WIDE, &[3, 4, 6, 3]),
            101 => (Block::Bottleneck, WIDE, &[3, 4, 23, 3]),
            152 => (Block::Bottleneck, WIDE, &[3, 8, 36, 3]),
            200 => (Block::Bottleneck, WIDE, &[3, 24, 36, 3]),
            _ if depth >= 8 && depth % 6 == 2 => (Block::Basic, &[16, 32, 64], &[(depth as usize - 2) / 6; 3]),
            _ => return Err(Error::Depth { depth }),
        };
        let stages = channels.iter().zip(blocks).enumerate();
        let architecture = Self {
            input,
            stem_channels: channels[0],
            block,
            transition: Transition::Strided,
            stages: stages
                .map(|(index, (&channels, &blocks))| Stage {
                    channels,
                    blocks,
                    stride: if index == 0 { 1 } else { 2 },
                })
                .collect(),
            classes,
        };
        architecture.validate()?;
        Ok(architecture)
    }

    /// Whether a network can be built of this.
    ///
    /// # Errors
    /// [`Error::Architecture`] naming the first field that is out of range.
    pub fn validate(&self) -> Result<(), Error> {
        within("input.height", self.input.height, SIDE_MAX)?;
        within("input.width", self.input.width, SIDE_MAX)?;
        within("input.channels", self.input.channels, CHANNELS_MAX)?;
        within("stem_channels", self.stem_channels, CHANNELS_MAX)?;
        within("classes", self.classes, CLASSES_MAX)?;
        within("stages", self.stages.len(), STAGES_MAX)?;
        for (index, stage) in self.stages.iter().enumerate() {
            let channels_max = CHANNELS_MAX / self.block.expansion();
            within(&format!("stages[{index}].channels"), stage.channels, channels_max)?;
            if stage.blocks > 0 || self.transition == Transition::Strided {
                within(&format!("stages[{index}].blocks"), stage.blocks, BLOCKS_MAX)?;
            }
            within(&format!("stages[{index}].stride"), stage.stride, 2)?;
        }
        within("parameters", self.parameter_count(), PARAMETERS_MAX)?;
        let convolutions = self.convolutions();
        let activations = convolutions.iter().map(|c| c.height * c.width * padded(c.outputs));
        let largest = activations.chain([self.input.length()]).max().unwrap_or(0);
        within("numbers in the largest activation", largest, ACTIVATION_MAX)
    }

    /// Trainable numbers: weights, biases, and the scale and shift of each
    /// batch normalisation. Only for what [`validate`](Self::validate) accepts.
    pub fn parameter_count(&self) -> usize {
        let convolutions = self.convolutions();
        let convolutions = convolutions.iter().map(|c| c.weights() + 2 * c.outputs).sum::<usize>();
        convolutions + self.classes * (self.features() + 1)
    }

    /// Multiplications each followed by an addition, to classify one image.
    /// Only for what [`validate`](Self::validate) accepts.
    pub fn multiply_adds(&self) -> u64 {
        let convolutions = self.convolutions();
        let convolutions = convolutions
            .iter()
            .map(|c| (c.weights() * c.height * c.width) as u64)
            .sum::<u64>();
        convolutions + (self.classes * self.features()) as u64
    }

    /// Channels that reach the dense layer.
    pub(crate) fn features(&self) -> usize {
        self.stages
            .last()
            .map_or(self.stem_channels, |stage| match stage.blocks {
                0 => stage.channels,
                _ => stage.channels * self.block.expansion(),
            })
    }

    /// Kernel side and stride of the stem.
    pub(crate) fn stem(&self) -> (usize, usize) {
        if self.input.height.max(self.input.width) <= SMALL_SIDE_MAX {
            (3, 1)
        } else {
            (7, 4)
        }
    }

    /// Every convolution, in the order of [`crate::Network::tensors`].
    pub(crate) fn convolutions(&self) -> Vec<ConvolutionShape> {
        let (kernel, stride) = self.stem();
        let mut list = vec![ConvolutionShape {
            place: Place::Stem,
            inputs: self.input.channels,
            outputs: self.stem_channels,
            kernel,
            stride,
            height: self.input.height.div_ceil(stride),
            width: self.input.width.div_ceil(stride),
            pool: 1,
        }];
        let mut last = list[0];
        for (index, stage) in self.stages.iter().enumerate() {
            let number = index + 1;
            if self.transition == Transition::Pooled {
                let place = Place::Transition { stage: number };
                last = ConvolutionShape {
                    pool: stage.stride,
                    ..last.then(place, 3, 1, stage.channels)
                };
                list.push(last);
            }
            for block in 0..stage.blocks {
                let strides = block == 0 && self.transition == Transition::Strided;
                let stride = if strides { stage.stride } else { 1 };
                let input = last;
                let place = |part| Place::Block {
                    stage: number,
                    block,
                    part,
                };
                for &(part, kernel, strides, expands) in self.block.parts() {
                    let outputs = stage.channels * if expands { self.block.expansion() } else { 1 };
                    last = last.then(place(part), kernel, if strides { stride } else { 1 }, outputs);
                    list.push(last);
                }
                if stride != 1 || input.outputs != last.outputs {
                    list.push(input.then(place(Part::Projection), 1, stride, last.outputs));
                }
            }
        }
        list
    }
}

/// Where in the network a convolution is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Stem,
    /// Before the blocks of a stage, which counts from 1.
    Transition {
        stage: usize,
    },
    Block {
        stage: usize,
        block: usize,
        part: Part,
    },
}

/// Which convolution of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    First,
    Second,
    Third,
    Projection,
}

/// One convolution, always followed by a batch normalisation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConvolutionShape {
    pub(crate) place: Place,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    /// Of the output.
    pub(crate) height: usize,
    /// Of the output.
    pub(crate) width: usize,
    /// Side of the squares of the output of which the largest is taken.
    pub(crate) pool: usize,
}

impl ConvolutionShape {
    /// A convolution of what this one gives.
    fn then(&self, place: Place, kernel: usize, stride: usize, outputs: usize) -> Self {
        let (height, width) = self.pooled();
        Self {
            place,
            inputs: self.outputs,
            outputs,
            kernel,
            stride,
            height: height.div_ceil(stride),
            width: width.div_ceil(stride),
            pool: 1,
        }
    }

    /// Height and width of the output when it is pooled.
    pub(crate) fn pooled(&self) -> (usize, usize) {
        (self.height.div_ceil(self.pool), self.width.div_ceil(self.pool))
    }

    fn weights(&self) -> usize {
        self.outputs * self.inputs * self.kernel * self.kernel
    }
}

fn within(field: &str, value: usize, max: usize) -> Result<(), Error> {
    if (1..=max).contains(&value) {
        return Ok(());
    }
    Err(Error::Architecture {
        field: field.to_owned(),
        value,
        expected: format!("from 1 to {max}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CIFAR: Shape = Shape {
        height: 32,
        width: 32,
        channels: 3,
    };
    const IMAGENET: Shape = Shape {
        height: 224,
        width: 224,
        channels: 3,
    };

    #[test]
    fn counts_are_those_of_the_paper() {
        let check = |depth, input, classes, parameters, multiply_adds| {
            let architecture = Architecture::resnet(depth, input, classes).unwrap();
            assert_eq!(architecture.parameter_count(), parameters, "ResNet-{depth}");
            assert_eq!(architecture.multiply_adds(), multiply_adds, "ResNet-{depth}");
        };
        // The usual 269,722 of option A, and two projections of 16 to 32 and
        // 32 to 64 channels, each with a normalisation.
        check(20, CIFAR, 10, 269_722 + 16 * 32 + 64 + 32 * 64 + 128, 40_813_184);
        // 11,689,512 in every library; the stem strides once, not twice.
        check(
            18,
            IMAGENET,
            1000,
            11_689_512,
            1_814_073_344 - 112 * 112 * 147 * 64 + 56 * 56 * 147 * 64,
        );
    }

    #[test]
    fn bottleneck_networks_have_the_parameters_of_every_library() {
        let check = |depth, parameters| {
            let architecture = Architecture::resnet(depth, IMAGENET, 1000).unwrap();
            assert_eq!(architecture.parameter_count(), parameters, "ResNet-{depth}");
        };
        check(50, 25_557_032);
        check(101, 44_549_160);
        check(152, 60_192_808);
        check(200, 64_673_832);
    }

    #[test]
    fn depths() {
        let supported = |depth| Architecture::resnet(depth, CIFAR, 10).is_ok();
        let depths: Vec<u32> = (0..60).chain([101, 110, 152, 200]).filter(|&d| supported(d)).collect();
        assert_eq!(depths, [8, 14, 18, 20, 26, 32, 34, 38, 44, 50, 56, 101, 110, 152, 200]);
    }

    #[test]
    fn stored_architectures_are_read_for_ever() {
        let check = |depth, json: &str| {
            let input = Shape {
                height: 32,
                width: 24,
                channels: 3,
            };
            let mut architecture = Architecture::resnet(depth, input, 10).unwrap();
            architecture.stages.truncate(1);
            assert_eq!(serde_json::to_string(&architecture).unwrap(), json);
            assert_eq!(serde_json::from_str::<Architecture>(json).unwrap(), architecture);
        };
        check(
            20,
            r#"{"input":{"height":32,"width":24,"channels":3},"stem_channels":16,"stages":[{"channels":16,"blocks":3,"stride":1}],"classes":10}"#,
        );
        check(
            50,
            r#"{"input":{"height":32,"width":24,"channels":3},"stem_channels":64,"block":"bottleneck","stages":[{"channels":64,"blocks":3,"stride":1}],"classes":10}"#,
        );
    }

    #[test]
    fn what_cannot_be_built_is_named() {
        let check = |change: fn(&mut Architecture), field: &str| {
            let mut architecture = Architecture::resnet(20, CIFAR, 10).unwrap();
            change(&mut architecture);
            match architecture.validate() {
                Err(Error::Architecture { field: got, .. }) => assert_eq!(got, field),
                other => panic!("{field}: {other:?}"),
            }
        };
        check(|a| a.classes = 0, "classes");
        check(|a| a.input.height = 0, "input.height");
        check(|a| a.input.width = usize::MAX, "input.width");
        check(|a| a.input.channels = 0, "input.channels");
        check(|a| a.stem_channels = 0, "stem_channels");
        check(|a| a.stages.clear(), "stages");
        check(|a| a.stages[1].stride = 3, "stages[1].stride");
        check(|a| a.stages[2].blocks = 0, "stages[2].blocks");
        check(|a| a.stages[0].channels = 0, "stages[0].channels");
        check(
            |a| {
                a.stages = vec![Stage {
                    channels: 4096,
                    blocks: 256,
                    stride: 1,
                }];
            },
            "parameters",
        );
        check(
            |a| {
                a.input = Shape {
                    height: 4096,
                    width: 4096,
                    channels: 3,
                };
                a.stem_channels = 4096;
            },
            "numbers in the largest activation",
        );
    }
}
