//! What the `Resource` of a Task state names.

use super::fields::Fields;

/// How a service integration waits for its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// The response of the call is the result.
    RequestResponse,
    /// `.sync`: the job that the call starts is waited for.
    Sync,
    /// `.sync:2`: the same, with JSON results as JSON.
    Sync2,
    /// `.waitForTaskToken`: the result comes with the task's token.
    WaitForTaskToken,
}

/// What the name of an action ends with, and how its result is waited for.
const PATTERNS: [(&str, Pattern); 4] = [
    (".sync:2", Pattern::Sync2),
    (".sync", Pattern::Sync),
    (".waitForTaskToken", Pattern::WaitForTaskToken),
    ("", Pattern::RequestResponse),
];

/// A parsed `Resource`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// A function, by its ARN.
    Lambda {
        /// The whole ARN.
        arn: String,
    },
    /// An activity, by its ARN.
    Activity {
        /// The whole ARN.
        arn: String,
    },
    /// `arn:aws:states:::service:action[.pattern]`.
    Service {
        /// `lambda`, or `aws-sdk:dynamodb`: the `resourceType` of history events.
        service: String,
        /// `invoke`, or `startExecution.sync:2`: the `resource` of history events.
        resource: String,
        /// `resource` without its pattern.
        action: String,
        /// How the result is waited for.
        pattern: Pattern,
    },
}

impl Resource {
    /// Reads an ARN, or another URI as the language's specification allows:
    /// `image:classify` is the action `classify` of the service `image`, which
    /// a driver may know. Nothing where it names nothing that a task can call.
    pub(super) fn parse(arn: &str) -> Option<Self> {
        if let Some((service, action)) = uri(arn) {
            return Some(Self::Service {
                service: service.to_owned(),
                resource: action.to_owned(),
                action: action.to_owned(),
                pattern: Pattern::RequestResponse,
            });
        }
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        let &["arn", partition, service, region, _, rest] = parts.as_slice() else {
            return None;
        };
        if partition.is_empty() || rest.is_empty() {
            return None;
        }
        match service {
            "lambda" if is_function(rest) => Some(Self::Lambda { arn: arn.to_owned() }),
            "states" if rest.starts_with("activity:") => Some(Self::Activity { arn: arn.to_owned() }),
            "states" if region.is_empty() || rest.starts_with("aws-sdk:") => Self::service(rest),
            _ => None,
        }
    }

    fn service(text: &str) -> Option<Self> {
        let (text, suffix, pattern) = PATTERNS
            .into_iter()
            .find_map(|(suffix, pattern)| Some((text.strip_suffix(suffix)?, suffix, pattern)))?;
        let (service, action) = text.rsplit_once(':')?;
        let known = match service.strip_prefix("aws-sdk:") {
            Some(service) => is_sdk(service, action),
            None => is_optimised(service, action),
        };
        let has_pattern = match pattern {
            Pattern::RequestResponse | Pattern::WaitForTaskToken => true,
            Pattern::Sync => runs_jobs(service, action),
            Pattern::Sync2 => service == "states",
        };
        (known && has_pattern && !action.is_empty()).then(|| Self::Service {
            service: service.to_owned(),
            resource: format!("{action}{suffix}"),
            action: action.to_owned(),
            pattern,
        })
    }

    /// How the task waits for its result.
    #[must_use]
    pub fn pattern(&self) -> Pattern {
        match self {
            Self::Service { pattern, .. } => *pattern,
            Self::Lambda { .. } | Self::Activity { .. } => Pattern::RequestResponse,
        }
    }

    /// How a result that is too large names the task: the function's ARN, or
    /// the service.
    pub(crate) fn subject(&self) -> &str {
        match self {
            Self::Lambda { arn } | Self::Activity { arn } => arn,
            Self::Service { service, .. } => service,
        }
    }
}

/// The scheme and the rest of a URI that is no ARN.
fn uri(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let valid = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        && !rest.is_empty()
        && !rest.contains(char::is_whitespace);
    (valid && scheme != "arn").then_some((scheme, rest))
}

/// `function:NAME` with an optional version or alias.
fn is_function(text: &str) -> bool {
    let valid = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.$".contains(c));
    let Some(rest) = text.strip_prefix("function:") else {
        return false;
    };
    match rest.split_once(':') {
        Some((name, qualifier)) => valid(name) && valid(qualifier),
        None => valid(rest),
    }
}

/// The optimised integrations and their actions (Step Functions Developer
/// Guide, "Integrating optimized services").
const OPTIMISED: &[(&str, &[&str])] = &[
    ("apigateway", &["invoke"]),
    (
        "athena",
        &[
            "startQueryExecution",
            "stopQueryExecution",
            "getQueryExecution",
            "getQueryResults",
        ],
    ),
    ("batch", &["submitJob"]),
    ("bedrock", &["invokeModel", "createModelCustomizationJob"]),
    (
        "codebuild",
        &[
            "startBuild",
            "stopBuild",
            "batchDeleteBuilds",
            "batchGetReports",
            "startBuildBatch",
            "stopBuildBatch",
            "retryBuildBatch",
            "deleteBuildBatch",
        ],
    ),
    ("databrew", &["startJobRun"]),
    ("dynamodb", &["getItem", "putItem", "deleteItem", "updateItem"]),
    ("ecs", &["runTask"]),
    (
        "eks",
        &[
            "createCluster",
            "deleteCluster",
            "createNodegroup",
            "deleteNodegroup",
            "createFargateProfile",
            "deleteFargateProfile",
            "call",
            "runJob",
        ],
    ),
    (
        "elasticmapreduce",
        &[
            "createCluster",
            "terminateCluster",
            "addStep",
            "cancelStep",
            "setClusterTerminationProtection",
            "modifyInstanceFleetByName",
            "modifyInstanceGroupByName",
        ],
    ),
    (
        "emr-containers",
        &["createVirtualCluster", "deleteVirtualCluster", "startJobRun"],
    ),
    (
        "emr-serverless",
        &[
            "createApplication",
            "startApplication",
            "stopApplication",
            "deleteApplication",
            "startJobRun",
            "cancelJobRun",
        ],
    ),
    ("events", &["putEvents"]),
    ("glue", &["startJobRun"]),
    ("http", &["invoke"]),
    ("lambda", &["invoke"]),
    ("mediaconvert", &["createJob"]),
    (
        "sagemaker",
        &[
            "createTrainingJob",
            "createTransformJob",
            "createEndpoint",
            "createEndpointConfig",
            "createHyperParameterTuningJob",
            "createLabelingJob",
            "createModel",
            "createProcessingJob",
            "updateEndpoint",
        ],
    ),
    ("sns", &["publish"]),
    ("sqs", &["sendMessage"]),
    ("states", &["startExecution"]),
];

fn is_optimised(service: &str, action: &str) -> bool {
    OPTIMISED
        .iter()
        .any(|(name, actions)| *name == service && actions.contains(&action))
}

/// Whether `.sync` is there (the same chapter, "Supported integration
/// patterns").
fn runs_jobs(service: &str, action: &str) -> bool {
    match service {
        "apigateway" | "dynamodb" | "events" | "http" | "lambda" | "sns" | "sqs" => false,
        // Jobs, and no models or endpoints.
        "sagemaker" => action.ends_with("Job"),
        service => !service.starts_with("aws-sdk:"),
    }
}

/// Whether names are spelt as those of the SDK integrations, of which there
/// are thousands: `cloudwatchlogs`, `createLogStream`.
fn is_sdk(service: &str, action: &str) -> bool {
    let is_service = |c: char| c != ':' && !c.is_uppercase();
    !service.is_empty() && service.chars().all(is_service) && !action.starts_with(char::is_uppercase)
}

/// The SDK integration that is meant by a service and an action in any case.
fn as_sdk(call: &str) -> Option<String> {
    let (service, action) = call.strip_prefix("aws-sdk:").unwrap_or(call).split_once(':')?;
    let mut action = action.chars();
    let first = action.next()?.to_lowercase();
    Some(format!("aws-sdk:{}:{first}{}", service.to_lowercase(), action.as_str()))
}

/// The optimised integration that is meant by `service:action.pattern`, or the
/// SDK integration where none is near.
fn near_call(fields: &Fields<'_>, call: &str) -> Option<String> {
    if call.starts_with("aws-sdk:") {
        return as_sdk(call);
    }
    let known = PATTERNS.iter().map(|(suffix, _)| *suffix);
    let suffix = known.clone().find(|suffix| call.ends_with(suffix)).unwrap_or_default();
    let name = call.strip_suffix(suffix).unwrap_or(call);
    let actions = OPTIMISED
        .iter()
        .flat_map(|(service, actions)| actions.iter().map(move |action| format!("{service}:{action}")));
    let names: Vec<String> = if name.contains('.') {
        // The pattern is misspelt.
        actions
            .flat_map(|action| known.clone().map(move |suffix| format!("{action}{suffix}")))
            .collect()
    } else {
        actions.collect()
    };
    match fields.meant(name, names.iter().map(String::as_str)) {
        Some(meant) => Some(format!("{meant}{suffix}")),
        None => as_sdk(call),
    }
}

/// What may be meant by an ARN that names nothing a task can call.
pub(super) fn hint(fields: &Fields<'_>, arn: &str) -> Option<String> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let &["arn", partition, service, region, account, rest] = parts.as_slice() else {
        return None;
    };
    let did_you_mean = |service: &str, rest: &str| {
        let meant = format!("arn:{partition}:{service}:{region}:{account}:{rest}");
        (meant != arn && Resource::parse(&meant).is_some()).then(|| format!("did you mean `{meant}`?"))
    };
    let service = fields.meant(service, ["lambda", "states"].into_iter())?;
    if service == "states" && region.is_empty() {
        return did_you_mean(service, &near_call(fields, rest)?);
    }
    let (kind, name) = rest.split_once(':')?;
    let kind = fields.meant(kind, ["function", "activity"].into_iter())?;
    did_you_mean(service, &format!("{kind}:{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form() {
        let check = |arn: &str, expect: &str| {
            let shown = Resource::parse(arn).map(|resource| match resource {
                Resource::Lambda { .. } => "lambda".to_owned(),
                Resource::Activity { .. } => "activity".to_owned(),
                Resource::Service {
                    service,
                    action,
                    pattern,
                    ..
                } => format!("{service} {action} {pattern:?}"),
            });
            assert_eq!(shown.as_deref().unwrap_or("none"), expect, "{arn}");
        };
        check("arn:aws:lambda:eu-west-1:1:function:f:3", "lambda");
        check("arn:aws:states:eu-west-1:1:activity:a", "activity");
        check("arn:aws:states:::lambda:invoke", "lambda invoke RequestResponse");
        check(
            "arn:aws:states:::states:startExecution.sync:2",
            "states startExecution Sync2",
        );
        check(
            "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
            "sqs sendMessage WaitForTaskToken",
        );
        check(
            "arn:aws:states:::aws-sdk:s3:getObject",
            "aws-sdk:s3 getObject RequestResponse",
        );
        check("arn:aws:states:::glue:startJobRun.sync", "glue startJobRun Sync");
        check(
            "arn:aws:states:::sagemaker:createTrainingJob.sync",
            "sagemaker createTrainingJob Sync",
        );
        check("arn:aws:states:::sagemaker:createModel.sync", "none");
        check("arn:aws:states:::lambda:invoke.sync", "none");
        check("arn:aws:states:::aws-sdk:s3:getObject.sync", "none");
        check("arn:aws:states:::glue:startJobRun.sync:2", "none");
        check("arn:aws:states:::aws-sdk:s3:GetObject", "none");
        check("arn:aws:states:::aws-sdk:S3:getObject", "none");
        check("arn:aws:states:::dynamodb:scan", "none");
        check("arn:aws:states:::nothing:here", "none");
        check("image:classify", "image classify RequestResponse");
        check("image:", "none");
        check("an image:classify", "none");
        check("arn:image", "none");
        check("lambda", "none");
        check("", "none");
    }
}
