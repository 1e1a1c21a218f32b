//! CPU kernels, layers and optimisers for convolutional classifiers.
//!
//! Trains and runs residual networks in `f32` on images ordered by row, pixel
//! and channel. The kernels are written once for sixteen-float vectors and
//! compiled for AVX-512, AVX2, NEON and portable code; the best that the
//! processor has is chosen at run time. The crate never touches the disk or the
//! clock and draws no randomness of its own: weights come from a seed, and the
//! same seed, data, thread count and processor give the same network. It is the
//! only crate of the workspace that may hold `unsafe`.
//!
//! ```
//! use scones_nn::{Architecture, Network, Optimizer, Shape, StepSettings, Trainer};
//!
//! let input = Shape { height: 8, width: 8, channels: 1 };
//! let network = Network::new(Architecture::resnet(8, input, 2)?, 1)?;
//! let mut trainer = Trainer::new(network, 2, Optimizer::default(), 1)?;
//! // A black image of the first class and a white one of the second.
//! let images = [[0.0; 64], [1.0; 64]].concat();
//! let targets = [1.0, 0.0, 0.0, 1.0];
//! let settings = StepSettings { learning_rate: 0.05, weight_decay: 1e-4 };
//! let report = trainer.step(&images, &targets, &settings)?;
//! assert!(report.loss < 1.0);
//! let logits = trainer.network().compile().infer(&images)?;
//! assert_eq!(logits.len(), 4);
//! # Ok::<(), scones_nn::Error>(())
//! ```

mod architecture; // what a network looks like
mod buffer; // memory of activations
mod convolution; // geometry of a convolutional layer
mod error; // what a caller can get wrong
mod inference; // classification with fixed weights
mod kernels; // the arithmetic on one image
mod loss; // softmax, sigmoids and their cross entropies
mod network; // the weights
mod norm; // batch normalisation across a batch
mod optimizer; // how a gradient moves the weights
mod plan; // an architecture worked out
mod random; // the first weights
mod simd; // sixteen floats at once
mod trainer; // one step per batch

pub use architecture::{
    ACTIVATION_MAX, Architecture, BLOCKS_MAX, Block, CHANNELS_MAX, CLASSES_MAX, PARAMETERS_MAX, SIDE_MAX, STAGES_MAX,
    Shape, Stage, Transition,
};
pub use error::Error;
pub use inference::{Inference, Scratch};
pub use loss::{ClassWeights, Loss, binary_cross_entropy, sigmoid, softmax};
pub use network::Network;
pub use optimizer::{Optimizer, OptimizerMemory};
pub use simd::SimdLevel;
pub use trainer::{BATCH_SIZE_MAX, StepReport, StepSettings, THREADS_MAX, Trainer};
