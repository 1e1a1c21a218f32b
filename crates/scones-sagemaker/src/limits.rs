//! Every limit of the service, with AWS's value where AWS has one.
//!
//! Quotas: <https://docs.aws.amazon.com/general/latest/gr/sagemaker.html>. Lengths and ranges of
//! members: the service's API reference.

use std::time::Duration;

/// Longest name of a training job, model, endpoint configuration, endpoint or variant.
pub const NAME_LENGTH_MAX: usize = 63;
/// Most tags on one resource.
pub const TAGS_MAX: usize = 50;
/// Longest tag key.
pub const TAG_KEY_LENGTH_MAX: usize = 128;
/// Longest tag value.
pub const TAG_VALUE_LENGTH_MAX: usize = 256;
/// Most entries on one page of a listing, and the default.
pub const PAGE_MAX: usize = 100;
/// Entries on one page of a listing when the client does not say.
pub const PAGE_DEFAULT: usize = 10;

/// Most hyperparameters of a training job.
pub const HYPERPARAMETERS_MAX: usize = 100;
/// Longest name of a hyperparameter.
pub const HYPERPARAMETER_KEY_LENGTH_MAX: usize = 256;
/// Longest value of a hyperparameter.
pub const HYPERPARAMETER_VALUE_LENGTH_MAX: usize = 2500;
/// Most channels of a training job.
pub const CHANNELS_MAX: usize = 20;
/// Longest S3 URI of a training job or model.
pub const S3_URI_LENGTH_MAX: usize = 1024;
/// Longest URI of an algorithm's or model's image.
pub const IMAGE_LENGTH_MAX: usize = 255;
/// Most environment variables.
pub const ENVIRONMENT_MAX: usize = 100;
/// Longest reason of a failure.
pub const FAILURE_REASON_LENGTH_MAX: usize = 1024;
/// How long a training job may run when it does not say: one day.
pub const MAX_RUNTIME_DEFAULT: Duration = Duration::from_secs(86_400);
/// How long a training job may ask to run: 28 days.
pub const MAX_RUNTIME_MAX: Duration = Duration::from_secs(28 * 86_400);
/// How long an algorithm has to end after SIGTERM.
/// <https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_StopTrainingJob.html>
pub const STOP_GRACE: Duration = Duration::from_secs(120);
/// Most training jobs that have not ended.
pub const TRAINING_JOBS_IN_PROGRESS_MAX: usize = 500;
/// Longest log event, in bytes: a longer line becomes several events.
/// <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html>
pub const LOG_EVENT_BYTES_MAX: usize = 256 * 1024 - 26;

/// Most variants of an endpoint.
pub const VARIANTS_MAX: usize = 10;
/// Most containers of a model.
pub const CONTAINERS_MAX: usize = 15;
/// Longest data capture destination.
pub const CAPTURE_URI_LENGTH_MAX: usize = 512;
/// Most content types of one kind in a capture configuration.
pub const CAPTURE_CONTENT_TYPES_MAX: usize = 10;
/// Largest body of InvokeEndpoint, in bytes: 25 MB at real-time endpoints.
/// <https://docs.aws.amazon.com/sagemaker/latest/dg/deploy-model-options.html>
pub const INVOKE_BODY_BYTES_MAX: usize = 25 * 1024 * 1024;
/// How long an invocation waits for an endpoint that loads its models again after a restart.
pub const INVOKE_WAIT_FOR_MODELS_MAX: Duration = Duration::from_secs(60);
/// Largest model artefact that is deployed, in bytes: 5 GiB.
pub const MODEL_ARTEFACT_BYTES_MAX: u64 = 5 << 30;
