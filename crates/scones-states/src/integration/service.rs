//! The services that tasks call, with the names that AWS gives them: each has
//! one in its SDK integration, and some have another in an optimised one.

use scones_api::ApiError;
use uuid::Uuid;

use super::{refused, spelling::pascal};
use crate::runner::TaskFailure;

/// How the API spells its members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    /// `TrainingJobName`, as tasks spell them.
    Pascal,
    /// `stateMachineArn`; tasks spell it `StateMachineArn`.
    Camel,
}

/// A service.
#[derive(Debug)]
pub(super) struct Service {
    /// What follows `aws-sdk:` in a resource.
    pub(super) id: &'static str,
    /// What the errors of the SDK integration begin with.
    sdk_name: &'static str,
    pub(super) spelling: Spelling,
    /// The members that hold dates, as seconds since the epoch, end so.
    pub(super) dates: &'static [&'static str],
    /// Members that take JSON as text.
    pub(super) documents: &'static [&'static str],
    /// The errors that the SDK has a type for; the others share one.
    errors: &'static [&'static str],
    pub(super) optimised: Option<Optimised>,
}

/// A service's optimised integration.
#[derive(Debug)]
pub(super) struct Optimised {
    /// `arn:aws:states:::NAME:action`.
    name: &'static str,
    /// What its errors begin with.
    error_prefix: &'static str,
    /// The service, as causes call it.
    service_name: &'static str,
    /// The actions that the integration has.
    actions: &'static [&'static str],
    /// The content type of its responses.
    pub(super) content_type: &'static str,
}

/// Lambda. `lambda:invoke` has a call of its own in the runner.
pub(super) const LAMBDA: Service = Service {
    id: "lambda",
    sdk_name: "Lambda",
    spelling: Spelling::Pascal,
    dates: &[],
    documents: &["Payload"],
    errors: &[
        "CodeSigningConfigNotFoundException",
        "CodeStorageExceededException",
        "InvalidParameterValueException",
        "InvalidRequestContentException",
        "InvalidRuntimeException",
        "InvalidZipFileException",
        "PolicyLengthExceededException",
        "PreconditionFailedException",
        "ProvisionedConcurrencyConfigNotFoundException",
        "RequestTooLargeException",
        "ResourceConflictException",
        "ResourceInUseException",
        "ResourceNotFoundException",
        "ResourceNotReadyException",
        "ServiceException",
        "TooManyRequestsException",
        "UnsupportedMediaTypeException",
    ],
    optimised: Some(Optimised {
        name: "lambda",
        error_prefix: "Lambda",
        service_name: "AWSLambda",
        actions: &["invoke"],
        content_type: "application/json",
    }),
};

const SERVICES: [Service; 8] = [
    LAMBDA,
    Service {
        id: "sfn",
        sdk_name: "Sfn",
        spelling: Spelling::Camel,
        dates: &["Date", "timestamp"],
        documents: &["Input", "Output", "Definition"],
        errors: &[
            "ActivityAlreadyExists",
            "ActivityDoesNotExist",
            "ActivityLimitExceeded",
            "ActivityWorkerLimitExceeded",
            "ConflictException",
            "ExecutionAlreadyExists",
            "ExecutionDoesNotExist",
            "ExecutionLimitExceeded",
            "ExecutionNotRedrivable",
            "InvalidArn",
            "InvalidDefinition",
            "InvalidEncryptionConfiguration",
            "InvalidExecutionInput",
            "InvalidLoggingConfiguration",
            "InvalidName",
            "InvalidOutput",
            "InvalidToken",
            "InvalidTracingConfiguration",
            "MissingRequiredParameter",
            "ResourceNotFound",
            "ServiceQuotaExceededException",
            "StateMachineAlreadyExists",
            "StateMachineDeleting",
            "StateMachineDoesNotExist",
            "StateMachineLimitExceeded",
            "StateMachineTypeNotSupported",
            "TaskDoesNotExist",
            "TaskTimedOut",
            "TooManyTags",
            "ValidationException",
        ],
        optimised: Some(Optimised {
            name: "states",
            error_prefix: "StepFunctions",
            service_name: "AWSStepFunctions",
            actions: &["startExecution"],
            content_type: "application/x-amz-json-1.0",
        }),
    },
    Service {
        id: "sagemaker",
        sdk_name: "SageMaker",
        spelling: Spelling::Pascal,
        dates: &["Time", "Timestamp"],
        documents: &[],
        errors: &[
            "ConflictException",
            "ResourceInUse",
            "ResourceLimitExceeded",
            "ResourceNotFound",
        ],
        optimised: Some(Optimised {
            name: "sagemaker",
            error_prefix: "SageMaker",
            service_name: "AmazonSageMaker",
            actions: &[
                "createEndpoint",
                "createEndpointConfig",
                "createHyperParameterTuningJob",
                "createLabelingJob",
                "createModel",
                "createProcessingJob",
                "createTrainingJob",
                "createTransformJob",
                "updateEndpoint",
            ],
            content_type: "application/x-amz-json-1.1",
        }),
    },
    Service {
        id: "sagemakerruntime",
        sdk_name: "SageMakerRuntime",
        spelling: Spelling::Pascal,
        dates: &[],
        documents: &["Body"],
        errors: &[
            "InternalDependencyException",
            "InternalFailure",
            "ModelError",
            "ModelNotReadyException",
            "ServiceUnavailable",
            "ValidationError",
        ],
        optimised: None,
    },
    Service {
        id: "s3",
        sdk_name: "S3",
        spelling: Spelling::Pascal,
        dates: &[],
        documents: &["Body"],
        errors: &[
            "BucketAlreadyExists",
            "BucketAlreadyOwnedByYou",
            "EncryptionTypeMismatch",
            "IdempotencyParameterMismatch",
            "InvalidObjectState",
            "InvalidRequest",
            "InvalidWriteOffset",
            "NoSuchBucket",
            "NoSuchKey",
            "NoSuchUpload",
            "ObjectAlreadyInActiveTierError",
            "ObjectNotInActiveTierError",
            "TooManyParts",
        ],
        optimised: None,
    },
    Service {
        id: "cloudwatchlogs",
        sdk_name: "CloudWatchLogs",
        spelling: Spelling::Camel,
        dates: &[],
        documents: &[],
        errors: &[
            "ConflictException",
            "DataAlreadyAcceptedException",
            "InvalidOperationException",
            "InvalidParameterException",
            "InvalidSequenceTokenException",
            "LimitExceededException",
            "OperationAbortedException",
            "ResourceAlreadyExistsException",
            "ResourceNotFoundException",
            "ServiceQuotaExceededException",
            "ServiceUnavailableException",
            "ThrottlingException",
            "TooManyTagsException",
            "ValidationException",
        ],
        optimised: None,
    },
    Service {
        id: "iam",
        sdk_name: "Iam",
        spelling: Spelling::Pascal,
        dates: &[],
        documents: &["AssumeRolePolicyDocument", "PolicyDocument"],
        errors: &[
            "ConcurrentModification",
            "DeleteConflict",
            "EntityAlreadyExists",
            "InvalidInput",
            "LimitExceeded",
            "MalformedPolicyDocument",
            "NoSuchEntity",
            "ServiceFailure",
            "UnmodifiableEntity",
        ],
        optimised: None,
    },
    Service {
        id: "sts",
        sdk_name: "Sts",
        spelling: Spelling::Pascal,
        dates: &[],
        documents: &["Policy"],
        errors: &[
            "ExpiredToken",
            "MalformedPolicyDocument",
            "PackedPolicyTooLarge",
            "RegionDisabled",
        ],
        optimised: None,
    },
];

/// Which integration of a service a resource names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// `arn:aws:states:::sagemaker:createModel`.
    Optimised,
    /// `arn:aws:states:::aws-sdk:sagemaker:createModel`.
    Sdk,
}

/// The service that a task's resource names, if it is here.
pub(super) fn find(service: &str, action: &str) -> Option<(&'static Service, Style)> {
    const TABLE: &[Service] = &SERVICES;
    if let Some(id) = service.strip_prefix("aws-sdk:") {
        return TABLE.iter().find(|it| it.id == id).map(|it| (it, Style::Sdk));
    }
    TABLE
        .iter()
        .find(|it| {
            it.optimised
                .as_ref()
                .is_some_and(|integration| integration.name == service && integration.actions.contains(&action))
        })
        .map(|it| (it, Style::Optimised))
}

impl Service {
    /// How the service's refusal of a `request` fails a task.
    pub(super) fn failure(&self, style: Style, operation: &str, error: ApiError, request: Uuid) -> TaskFailure {
        match style {
            Style::Optimised => self.optimised_failure(error, request),
            Style::Sdk => self.sdk_failure(operation, error, request),
        }
    }

    /// `StepFunctions.ExecutionAlreadyExistsException`, and for what the SDK
    /// has no type for `SageMaker.AmazonSageMakerException`.
    pub(super) fn optimised_failure(&self, error: ApiError, request: Uuid) -> TaskFailure {
        let (
            error,
            Optimised {
                error_prefix,
                service_name,
                ..
            },
        ) = match (own_failure(error), &self.optimised) {
            (Err(failure), _) => return failure,
            (Ok(error), None) => return self.sdk_failure("", error, request),
            (Ok(error), Some(integration)) => (error, integration),
        };
        let kind = self
            .known(&error.code)
            .unwrap_or_else(|| format!("{service_name}Exception"));
        TaskFailure {
            error: format!("{error_prefix}.{kind}"),
            cause: format!(
                "{} (Service: {service_name}; Status Code: {}; Error Code: {}; Request ID: {}; Proxy: null)",
                error.message, error.status, error.code, request
            ),
        }
    }

    /// `S3.NoSuchKeyException`, and for what the SDK has no type for
    /// `S3.S3Exception`.
    fn sdk_failure(&self, operation: &str, error: ApiError, request: Uuid) -> TaskFailure {
        let mut error = match own_failure(error) {
            Ok(error) => error,
            Err(failure) => return failure,
        };
        // The answer to a HEAD request has no body to read the reason from.
        if self.id == "s3" && operation.starts_with("Head") {
            "null".clone_into(&mut error.message);
        }
        let name = self.sdk_name;
        let kind = self.known(&error.code).unwrap_or_else(|| format!("{name}Exception"));
        TaskFailure {
            error: format!("{name}.{kind}"),
            cause: format!(
                "{} (Service: {name}, Status Code: {}, Request ID: {}) (SDK Attempt Count: 1)",
                error.message, error.status, request
            ),
        }
    }

    /// The name of the SDK's type for an error code.
    fn known(&self, code: &str) -> Option<String> {
        let code = self.errors.iter().find(|known| **known == code)?;
        Some(match code.ends_with("Exception") {
            true => (*code).to_owned(),
            false => format!("{code}Exception"),
        })
    }
}

/// What is no service's error: parameters that are not the operation's,
/// something that is not built here, and the errors of the language.
fn own_failure(error: ApiError) -> Result<ApiError, TaskFailure> {
    if error.code.starts_with("States.") {
        return Err(TaskFailure {
            error: error.code,
            cause: error.message,
        });
    }
    if error.status == 501 {
        return Err(refused(error.message));
    }
    match parameter_problem(&error) {
        Some(problem) => Err(refused(problem)),
        None => Ok(error),
    }
}

/// What is wrong with a task's parameters, in AWS's words where it is a
/// member that is unknown or not there.
fn parameter_problem(error: &ApiError) -> Option<String> {
    let quoted = |before: &str, after: char| error.message.split_once(before)?.1.split(after).next();
    if let Some(path) = quoted("Value null at '", '\'') {
        let name = path.rsplit('.').next().unwrap_or(path);
        return Some(format!("The field '{}' is required but was missing", pascal(name)));
    }
    (error.code == "SerializationException").then(|| match quoted("unknown field `", '`') {
        Some(name) => format!("The field '{}' is not supported by Step Functions", pascal(name)),
        None => error.message.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_found_by_either_name() {
        let check = |service: &str, action: &str, expect: Option<(&str, Style)>| {
            assert_eq!(
                find(service, action).map(|(it, style)| (it.id, style)),
                expect,
                "{service}:{action}"
            );
        };
        check("states", "startExecution", Some(("sfn", Style::Optimised)));
        check("aws-sdk:sfn", "startExecution", Some(("sfn", Style::Sdk)));
        check("sagemaker", "createTrainingJob", Some(("sagemaker", Style::Optimised)));
        check("sagemaker", "describeTrainingJob", None);
        check(
            "aws-sdk:sagemaker",
            "describeTrainingJob",
            Some(("sagemaker", Style::Sdk)),
        );
        check("aws-sdk:s3", "getObject", Some(("s3", Style::Sdk)));
        check("s3", "getObject", None);
        check("sqs", "sendMessage", None);
        check("aws-sdk:sqs", "sendMessage", None);
    }

    #[test]
    fn errors_have_the_names_of_their_integration() {
        let check = |service: &str, action: &str, status: u16, code: &str, expect: &str| {
            let (service, style) = find(service, action).unwrap();
            let failure = service.failure(style, action, ApiError::new(status, code, "message"), Uuid::nil());
            assert_eq!(failure.error, expect);
        };
        check(
            "states",
            "startExecution",
            400,
            "ExecutionAlreadyExists",
            "StepFunctions.ExecutionAlreadyExistsException",
        );
        check(
            "states",
            "startExecution",
            400,
            "Other",
            "StepFunctions.AWSStepFunctionsException",
        );
        check(
            "lambda",
            "invoke",
            404,
            "ResourceNotFoundException",
            "Lambda.ResourceNotFoundException",
        );
        check(
            "lambda",
            "invoke",
            403,
            "AccessDeniedException",
            "Lambda.AWSLambdaException",
        );
        check(
            "sagemaker",
            "createModel",
            400,
            "ValidationException",
            "SageMaker.AmazonSageMakerException",
        );
        check(
            "sagemaker",
            "createModel",
            400,
            "ResourceInUse",
            "SageMaker.ResourceInUseException",
        );
        check(
            "aws-sdk:sagemaker",
            "createModel",
            400,
            "ResourceInUse",
            "SageMaker.ResourceInUseException",
        );
        check(
            "aws-sdk:sagemaker",
            "createModel",
            400,
            "ValidationException",
            "SageMaker.SageMakerException",
        );
        check(
            "aws-sdk:sfn",
            "describeExecution",
            400,
            "ExecutionDoesNotExist",
            "Sfn.ExecutionDoesNotExistException",
        );
        check("aws-sdk:s3", "getObject", 404, "NoSuchKey", "S3.NoSuchKeyException");
        check("aws-sdk:s3", "getObject", 416, "InvalidRange", "S3.S3Exception");
        check(
            "aws-sdk:iam",
            "getRole",
            404,
            "NoSuchEntity",
            "Iam.NoSuchEntityException",
        );
        check(
            "sagemaker",
            "createTransformJob",
            501,
            "NotImplemented",
            "States.Runtime",
        );
        check(
            "aws-sdk:s3",
            "getObject",
            400,
            "States.DataLimitExceeded",
            "States.DataLimitExceeded",
        );
    }

    #[test]
    fn wrong_parameters_are_named() {
        let check = |code: &str, message: &str, expect: &str| {
            let (service, style) = find("aws-sdk:sfn", "stopExecution").unwrap();
            let error = ApiError::bad_request(code, message);
            let failure = service.failure(style, "StopExecution", error, Uuid::nil());
            assert_eq!(
                (failure.error.as_str(), failure.cause.as_str()),
                ("States.Runtime", expect)
            );
        };
        check(
            "ValidationException",
            "1 validation error detected: Value null at 'tags.1.member.key' failed to satisfy constraint: \
             Member must not be null",
            "The field 'Key' is required but was missing",
        );
        check(
            "SerializationException",
            "unknown field `foo`, expected one of `Bucket`, `Key`",
            "The field 'Foo' is not supported by Step Functions",
        );
        check(
            "SerializationException",
            "invalid type: integer `1`",
            "invalid type: integer `1`",
        );
    }

    #[test]
    fn causes_have_the_words_of_their_integration() {
        let cause = |service: &str, action: &str, operation: &str| {
            let (service, style) = find(service, action).unwrap();
            let cause = service
                .failure(
                    style,
                    operation,
                    ApiError::new(404, "NoSuchKey", "It is gone."),
                    Uuid::nil(),
                )
                .cause;
            let id = cause.split("Request ID: ").nth(1).unwrap()[..36].to_owned();
            cause.replace(&id, "ID")
        };
        assert_eq!(
            cause("aws-sdk:s3", "getObject", "GetObject"),
            "It is gone. (Service: S3, Status Code: 404, Request ID: ID) (SDK Attempt Count: 1)"
        );
        assert_eq!(
            cause("aws-sdk:s3", "headObject", "HeadObject"),
            "null (Service: S3, Status Code: 404, Request ID: ID) (SDK Attempt Count: 1)"
        );
        assert_eq!(
            cause("states", "startExecution", "StartExecution"),
            "It is gone. (Service: AWSStepFunctions; Status Code: 404; Error Code: NoSuchKey; Request ID: ID; Proxy: null)"
        );
    }
}
