//! InvokeEndpoint: one inference.

use std::{
    fmt::Write as _,
    sync::{Arc, atomic::Ordering},
};

use bytes::Bytes;
use scones_api::{ApiError, Arn};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    deployment::EndpointStatus,
    fleet::{Loaded, LoadedModel, LoadedVariant},
};
use crate::{
    SageMaker,
    capture::Exchange,
    external::ClassifyError,
    limits::{INVOKE_BODY_BYTES_MAX, INVOKE_WAIT_FOR_MODELS_MAX},
};

const IMAGE_TYPES: [&str; 3] = ["application/x-image", "image/jpeg", "image/png"];
const JSON: &str = "application/json";
const JSON_LINES: &str = "application/jsonlines";

/// A request for an inference.
#[derive(Debug, Clone, Default)]
pub struct InvokeEndpoint {
    /// The endpoint, from the request's path.
    pub endpoint_name: String,
    /// The header `Content-Type`.
    pub content_type: Option<String>,
    /// The header `Accept`.
    pub accept: Option<String>,
    /// The header `X-Amzn-SageMaker-Target-Variant`.
    pub target_variant: Option<String>,
    /// The header `X-Amzn-SageMaker-Target-Model`: of multi-model endpoints, which are not here.
    pub target_model: Option<String>,
    /// The header `X-Amzn-SageMaker-Inference-Id`, for the captured record.
    pub inference_id: Option<String>,
    /// The header `X-Amzn-SageMaker-Custom-Attributes`, for the captured record.
    pub custom_attributes: Option<String>,
    /// An encoded image of at most [`INVOKE_BODY_BYTES_MAX`] bytes.
    pub body: Bytes,
}

/// An inference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inference {
    /// A JSON array of the classes' probabilities.
    pub body: Bytes,
    /// Its content type.
    pub content_type: &'static str,
    /// The header `x-Amzn-Invoked-Production-Variant`.
    pub invoked_variant: String,
}

/// The answer of a model that refuses a request or fails: `ModelError`, HTTP status 424. The
/// edge writes the members beside `Message`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("ModelError: {message}")]
pub struct ModelError {
    /// For people.
    pub message: String,
    /// `OriginalStatusCode`: what the container answered.
    pub original_status_code: u16,
    /// `OriginalMessage`: what the container said.
    pub original_message: String,
    /// `LogStreamArn`.
    pub log_stream_arn: String,
}

impl ModelError {
    /// The error's code.
    pub const CODE: &str = "ModelError";
    /// The HTTP status of the answer.
    pub const STATUS: u16 = 424;

    /// `ErrorCode`, by whose fault it was.
    pub fn error_code(&self) -> &'static str {
        if self.original_status_code < 500 {
            "CLIENT_ERROR_FROM_MODEL"
        } else {
            "INTERNAL_FAILURE_FROM_MODEL"
        }
    }
}

/// Why there is no inference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvokeError {
    /// The service's answer.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The model's answer.
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// What the container answers instead of probabilities.
struct Refusal {
    status: u16,
    message: String,
}

impl Refusal {
    fn new(status: u16, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
        }
    }
}

impl SageMaker {
    /// The probabilities that an endpoint gives an image. An endpoint that is being loaded again
    /// after a restart is waited for, up to 60 seconds. Dropping the future is safe.
    ///
    /// # Errors
    /// `ValidationError` for an endpoint that is not there or not in service and for an unknown
    /// variant, for a body that is too large and for a target model; `ServiceUnavailable` when too many requests
    /// wait; [`ModelError`] for what the model refuses: a content type that is no image's, an
    /// image that does not decode.
    pub async fn invoke_endpoint(&self, call: InvokeEndpoint) -> Result<Inference, InvokeError> {
        if call.body.len() > INVOKE_BODY_BYTES_MAX {
            return Err(oversize_body().into());
        }
        let endpoint = call.endpoint_name.as_str();
        let loaded = self.serving(endpoint).await?;
        if call.target_model.is_some() {
            return Err(validation_error(format!(
                "Endpoint {endpoint} is not a multi-model endpoint and does not support target model header."
            )));
        }
        let Some(variant) = loaded.choose(call.target_variant.as_deref()) else {
            let variant = call.target_variant.as_deref().unwrap_or_default();
            let account = &self.owner.account;
            return Err(validation_error(format!(
                "Variant {variant} not found for endpoint {endpoint} of account {account}."
            )));
        };
        let answered = self.answer(&call, variant).await?;
        let (body, content_type) = match answered {
            Ok(answer) => answer,
            Err(refusal) => return Err(self.model_error(endpoint, &variant.name, refusal).await.into()),
        };
        if let Some(plan) = &loaded.capture {
            let exchange = Exchange {
                endpoint,
                variant: &variant.name,
                input: (call.content_type.as_deref().unwrap_or_default(), call.body),
                output: (content_type, body.clone()),
                inference_id: call.inference_id,
                custom_attributes: call.custom_attributes,
                time: self.clock.now(),
            };
            self.captures.offer(plan, exchange);
        }
        Ok(Inference {
            body,
            content_type,
            invoked_variant: variant.name.clone(),
        })
    }

    /// How many captured inferences were dropped because they came faster than they were written.
    pub fn captures_dropped(&self) -> u64 {
        self.captures.dropped()
    }

    async fn serving(&self, endpoint: &str) -> Result<Arc<Loaded>, InvokeError> {
        let Some(mut slot) = self.fleet.find(endpoint) else {
            return Err(self.not_serving(endpoint).await?);
        };
        let ready = tokio::time::timeout(INVOKE_WAIT_FOR_MODELS_MAX, slot.wait_for(Option::is_some)).await;
        match ready.map(|waited| waited.map(|loaded| loaded.clone())) {
            Ok(Ok(Some(loaded))) => Ok(loaded),
            // The endpoint went while we waited.
            Ok(_) => Err(self.not_serving(endpoint).await?),
            Err(_) => Err(ApiError::new(
                503,
                "ServiceUnavailable",
                format!("Endpoint {endpoint} is still loading its models."),
            )
            .into()),
        }
    }

    async fn not_serving(&self, endpoint: &str) -> Result<InvokeError, ApiError> {
        let account = &self.owner.account;
        let found = self.endpoints.get(endpoint).await?.map(|found| found.value.status);
        Ok(validation_error(match found {
            None => format!("Endpoint {endpoint} of account {account} not found."),
            Some(EndpointStatus::InService) => {
                format!("Endpoint {endpoint} of account {account} is just coming into service: try again.")
            }
            Some(status) => {
                let status = status.as_str();
                format!("Endpoint {endpoint} of account {account} is not in service: its status is {status}.")
            }
        }))
    }

    async fn answer(
        &self,
        call: &InvokeEndpoint,
        variant: &LoadedVariant,
    ) -> Result<Result<(Bytes, &'static str), Refusal>, InvokeError> {
        let accepted = match check_types(call) {
            Ok(accepted) => accepted,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let place = self.inference_place(&variant.model).await?;
        let (classifier, image) = (Arc::clone(&variant.model.classifier), call.body.clone());
        let classified = tokio::task::spawn_blocking(move || {
            let classified = classifier.classify(&image);
            drop(place);
            classified
        });
        Ok(match classified.await {
            Ok(Ok(probabilities)) => Ok((encode(&probabilities, accepted), accepted)),
            Ok(Err(ClassifyError::Image(reason))) => Err(Refusal::new(
                400,
                format!("Unable to evaluate payload provided: {reason}"),
            )),
            Ok(Err(ClassifyError::Internal(reason))) => Err(Refusal::new(500, reason)),
            Err(panic) => {
                tracing::error!(error = %panic, "an inference panicked");
                Err(Refusal::new(500, "the model failed on this image"))
            }
        })
    }

    /// The model's turn and a place among the inferences that run; the number of those that wait
    /// is bounded.
    async fn inference_place(&self, model: &LoadedModel) -> Result<[OwnedSemaphorePermit; 2], InvokeError> {
        let unavailable = || {
            ApiError::new(
                503,
                "ServiceUnavailable",
                "Too many inferences wait for a processor: try again.",
            )
        };
        let both = || [&model.turns, &self.inference_places].map(Arc::clone);
        if let [Ok(turn), Ok(place)] = both().map(Semaphore::try_acquire_owned) {
            return Ok([turn, place]);
        }
        let _waiting = Waiting::begin(self).ok_or_else(unavailable)?;
        // In this order: who waits for a slow model must not hold a place that others could use.
        let [turn, place] = both().map(Semaphore::acquire_owned);
        let turn = turn.await.map_err(|_| unavailable())?;
        Ok([turn, place.await.map_err(|_| unavailable())?])
    }

    async fn model_error(&self, endpoint: &str, variant: &str, refusal: Refusal) -> ModelError {
        let group = format!("/aws/sagemaker/Endpoints/{endpoint}");
        let stream = format!("{variant}/local");
        let line = format!("[ERROR] {}: {}", refusal.status, refusal.message);
        let logged = self
            .dependencies
            .logs
            .append(&group, &stream, vec![(self.clock.now(), line)]);
        if let Err(error) = logged.await {
            tracing::warn!(endpoint, %error, "the endpoint's log does not take a line");
        }
        let whose = if refusal.status < 500 { "client" } else { "server" };
        ModelError {
            message: format!(
                "Received {whose} error ({}) from primary with message \"{}\". See the log group {group} in account {} \
                 for more information.",
                refusal.status, refusal.message, self.owner.account
            ),
            original_status_code: refusal.status,
            original_message: refusal.message,
            log_stream_arn: Arn::new("logs", &self.owner, format!("log-group:{group}")).to_string(),
        }
    }
}

/// One request in the queue for a processor.
struct Waiting<'a>(&'a SageMaker);

impl<'a> Waiting<'a> {
    fn begin(service: &'a SageMaker) -> Option<Self> {
        let waiting = Self(service);
        let before = service.inferences_waiting.fetch_add(1, Ordering::SeqCst);
        (before < service.options.inferences_waiting_max).then_some(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.inferences_waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The error of a body with more than [`INVOKE_BODY_BYTES_MAX`] bytes.
pub fn oversize_body() -> ApiError {
    let message = format!("Request has oversize body: at most {INVOKE_BODY_BYTES_MAX} bytes are taken.");
    ApiError::bad_request("ValidationError", message)
}

/// Its code has no `Exception` at the end: clients of the runtime know it so.
fn validation_error(message: String) -> InvokeError {
    ApiError::bad_request("ValidationError", message).into()
}

fn essence(header: &str) -> String {
    header.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// What the answer's type is to be, if request and answer are of types that the algorithm has.
/// <https://docs.aws.amazon.com/sagemaker/latest/dg/image-classification.html#IC-inference>
fn check_types(call: &InvokeEndpoint) -> Result<&'static str, Refusal> {
    let content_type = call.content_type.as_deref().unwrap_or_default();
    if !IMAGE_TYPES.contains(&essence(content_type).as_str()) {
        let known = IMAGE_TYPES.join(", ");
        return Err(Refusal::new(
            415,
            format!("Content-type {content_type} not supported. Supported content-types are {known}"),
        ));
    }
    let accept = call.accept.as_deref().unwrap_or_default();
    let wishes: Vec<String> = accept.split(',').map(essence).filter(|wish| !wish.is_empty()).collect();
    let takes = |kind: &str| wishes.iter().any(|wish| wish == kind);
    if wishes.is_empty() || takes("*/*") || takes("application/*") || takes(JSON) {
        Ok(JSON)
    } else if takes(JSON_LINES) {
        Ok(JSON_LINES)
    } else {
        Err(Refusal::new(
            406,
            format!("Accept type {accept} not supported. Supported types are {JSON}, {JSON_LINES}"),
        ))
    }
}

/// The shortest digits that read back as the same numbers.
fn encode(probabilities: &[f32], content_type: &str) -> Bytes {
    let mut text = String::from("[");
    for (at, probability) in probabilities.iter().enumerate() {
        let separator = if at == 0 { "" } else { ", " };
        let _ = write!(text, "{separator}{probability:?}");
    }
    text.push(']');
    if content_type == JSON_LINES {
        format!("{{\"prediction\": {text}}}\n").into()
    } else {
        text.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(content_type: &str, accept: &str, expect: Result<&str, u16>) {
        let call = InvokeEndpoint {
            content_type: Some(content_type.to_owned()),
            accept: Some(accept.to_owned()),
            ..InvokeEndpoint::default()
        };
        assert_eq!(
            check_types(&call).map_err(|refusal| refusal.status),
            expect,
            "{content_type} {accept}"
        );
    }

    #[test]
    fn types_are_negotiated() {
        check("image/png", "", Ok(JSON));
        check("Image/JPEG; q=1", "*/*", Ok(JSON));
        check("application/x-image", "text/html, application/json;q=0.5", Ok(JSON));
        check("image/png", "application/jsonlines", Ok(JSON_LINES));
        check("image/png", "application/jsonlines;verbose=true, */*", Ok(JSON));
        check("image/png", "text/csv", Err(406));
        check("application/json", "", Err(415));
        check("", "", Err(415));
    }

    #[test]
    fn probabilities_are_json() {
        assert_eq!(encode(&[0.25, 0.75], JSON), "[0.25, 0.75]");
        assert_eq!(encode(&[1e-20, 1.0], JSON), "[1e-20, 1.0]");
        assert_eq!(encode(&[0.5], JSON_LINES), "{\"prediction\": [0.5]}\n");
    }
}
