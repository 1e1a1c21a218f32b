//! The command line.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{
    config::{DataArgs, OnnxArgs, ServerArgs},
    source::SourceArgs,
};

#[derive(Debug, Parser)]
#[command(
    version,
    about = ABOUT,
    max_term_width = 100,
    propagate_version = true,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the whole story: data, training, endpoint, functions, workflow
    #[command(after_help = DEMO_EXAMPLES)]
    Demo(DemoArgs),
    /// Start the server
    #[command(after_help = UP_EXAMPLES)]
    Up(UpArgs),
    /// Print the environment that points AWS clients at the server
    #[command(after_help = ENV_EXAMPLES)]
    Env(EnvArgs),
    /// Check the machine, the data directory and a running server
    #[command(after_help = DOCTOR_EXAMPLES)]
    Doctor(DoctorArgs),
    /// Bring image datasets into the form that SageMaker reads
    Data {
        #[command(subcommand)]
        command: DataCommand,
    },
    /// Train a classifier without a server
    #[command(after_help = TRAIN_EXAMPLES)]
    Train(TrainArgs),
    /// Ask a trained classifier what images show
    #[command(after_help = PREDICT_EXAMPLES)]
    Predict(PredictArgs),
    /// Measure a trained classifier on labelled images
    #[command(after_help = EVALUATE_EXAMPLES)]
    Evaluate(EvaluateArgs),
    /// Work with definitions of state machines
    Asl {
        #[command(subcommand)]
        command: AslCommand,
    },
    /// Run one of the three Scones functions under the Lambda Runtime API
    #[command(hide = true)]
    Function {
        /// serializeImageData, classifyImageData or filterInferences
        name: String,
    },
    /// Processes that the server starts for itself
    #[command(hide = true)]
    Worker {
        #[command(subcommand)]
        command: WorkerCommand,
    },
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// `cifar100`, `synthetic`, or the path of an archive, an image list or a folder
    /// [default: cifar100 if it is here or can be downloaded, else synthetic]
    #[arg(long, value_name = "DATASET")]
    pub(crate) dataset: Option<String>,
    /// Print one JSON document instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Print one JSON line when the server is ready
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct EnvArgs {
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Print a JSON object instead of shell exports
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) data: DataArgs,
    #[command(flatten)]
    pub(crate) onnx: OnnxArgs,
    /// Print a JSON document instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DataCommand {
    /// Turn a dataset into PNG files and image lists, as SageMaker's built-in algorithm reads them
    #[command(after_help = IMPORT_EXAMPLES)]
    Import(ImportArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// Where to write `train/`, `test/` and their lists; must not exist or be empty
    #[arg(long, value_name = "DIR")]
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) images: SourceArgs,
    /// Print a JSON document instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TrainArgs {
    /// Where to write the model; must not exist
    #[arg(long, value_name = "FILE", default_value = MODEL)]
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) images: SourceArgs,
    /// A hyperparameter of the built-in image classification algorithm; may be repeated. Without
    /// use_pretrained_model=0, training begins with the network that ships with Scones
    #[arg(short = 'H', long = "hyperparameter", value_name = "NAME=VALUE", value_parser = hyperparameter)]
    pub(crate) hyperparameters: Vec<(String, String)>,
    /// Decides everything that is random
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Threads [default: as many as there are processors]
    #[arg(long)]
    pub(crate) threads: Option<std::num::NonZeroUsize>,
    /// Print a JSON document instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PredictArgs {
    /// PNG or JPEG files
    #[arg(required = true, value_name = "IMAGE")]
    pub(crate) images: Vec<PathBuf>,
    /// The model: a `model.tar.gz` of `scones train`, of a training job, or with a model in ONNX
    #[arg(long, value_name = "FILE", default_value = MODEL)]
    pub(crate) model: PathBuf,
    #[command(flatten)]
    pub(crate) onnx: OnnxArgs,
    /// Print a JSON document instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct EvaluateArgs {
    /// An image list, or a folder with one folder a class; of a folder with parts, `test`
    pub(crate) source: PathBuf,
    /// The model: a `model.tar.gz` of `scones train`, of a training job, or with a model in ONNX
    #[arg(long, value_name = "FILE", default_value = MODEL)]
    pub(crate) model: PathBuf,
    #[command(flatten)]
    pub(crate) onnx: OnnxArgs,
    /// Also draw the worst mistakes as one PNG, the most confident first
    #[arg(long, value_name = "FILE")]
    pub(crate) mistakes: Option<PathBuf>,
    /// Print a JSON document instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

/// Where models are written to and read from.
const MODEL: &str = "model.tar.gz";

fn hyperparameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or("NAME=VALUE is expected, such as epochs=20")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

#[derive(Debug, Subcommand)]
pub(crate) enum AslCommand {
    /// Check definitions in the Amazon States Language, and show each problem in its place
    #[command(after_help = ASL_CHECK_EXAMPLES)]
    Check(AslCheckArgs),
}

#[derive(Debug, Args)]
pub(crate) struct AslCheckArgs {
    /// Definitions as JSON; `-` reads one from stdin
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// The type of the state machines: Express ones wait for no callbacks
    #[arg(long = "type", value_enum, ignore_case = true, default_value_t = MachineType::Standard)]
    pub(crate) machine_type: MachineType,
    /// Print a JSON document instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum MachineType {
    Standard,
    Express,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WorkerCommand {
    /// Train the model of a job's directory
    Train {
        /// A directory laid out as SageMaker's /opt/ml
        directory: PathBuf,
    },
    /// Become PROGRAM, with fewer privileges and tied to the parent's life
    Exec {
        /// The program and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        program: Vec<OsString>,
    },
}

const ABOUT: &str = "SageMaker, Lambda and Step Functions on your own machine";

const DEMO_EXAMPLES: &str = "\
Examples:
  scones demo                              the whole story, in under three minutes
  scones demo --dataset synthetic          with drawn bicycles and motorcycles
  scones demo --dataset photos/            with a folder of images, one folder a class
  scones demo --json > story.json          as one document";

const UP_EXAMPLES: &str = "\
Examples:
  scones up                                serve on 127.0.0.1:4566
  scones up --listen 127.0.0.1:0 --json    serve on a free port and print it
  eval \"$(scones env)\" && aws s3 ls        use it from another terminal";

const ENV_EXAMPLES: &str = "\
Examples:
  eval \"$(scones env)\"                     point this shell's AWS clients at the server
  scones env --json                        the same as JSON";

const DOCTOR_EXAMPLES: &str = "\
Examples:
  scones doctor                            is everything here that Scones can use?";

const IMPORT_EXAMPLES: &str = "\
Examples:
  scones data import cifar100 --output data/
  scones data import cifar-100-python.tar.gz --classes bicycle,motorcycle --output data/
  scones data import photos/ --output data/        one folder a class
  scones data import photos/train.lst --output data/";

const TRAIN_EXAMPLES: &str = "\
Examples:
  scones train photos/                     one folder a class; a fifth is held back to measure with
  scones train photos/train.lst -H epochs=30 -H learning_rate=0.01
  scones train cifar100 -H use_pretrained_model=0 --output scratch.tar.gz";

const PREDICT_EXAMPLES: &str = "\
Examples:
  scones predict bicycle.png               with the model.tar.gz of this folder
  scones predict --model scratch.tar.gz --json *.jpg";

const EVALUATE_EXAMPLES: &str = "\
Examples:
  scones evaluate photos/test/ --mistakes mistakes.png
  scones evaluate test.lst --model scratch.tar.gz --json";

const ASL_CHECK_EXAMPLES: &str = "\
Examples:
  scones asl check order.asl.json          each problem with its line, its code and a suggestion
  scones asl check --type express *.asl.json
  scones asl check --json - < order.asl.json";
