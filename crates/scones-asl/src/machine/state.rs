//! Reads one state.

use serde_json::Value;

use super::diagnostic::{Code, Severity, nearest};
use super::fields::Fields;
use super::parse::{Context, Names, nested, query_language};
use super::{FailText, QueryLanguage, Resource, Seconds, State, StateKind, Task, WaitUntil, choice, flow, map};
use crate::intrinsic::Expression;
use crate::limits::SECONDS_MAX;
use crate::time::parse_instant;

const TYPES: &[&str] = &["Task", "Wait", "Pass", "Succeed", "Fail", "Choice", "Parallel", "Map"];

/// Fields that a state may have besides `Type`, `Comment` and `QueryLanguage`.
fn fields_of(kind: &str) -> &'static [&'static str] {
    match kind {
        "Pass" => &[
            "InputPath",
            "OutputPath",
            "Parameters",
            "Result",
            "ResultPath",
            "Assign",
            "Next",
            "End",
        ],
        "Task" => &[
            "InputPath",
            "OutputPath",
            "Parameters",
            "ResultSelector",
            "ResultPath",
            "Assign",
            "Next",
            "End",
            "Retry",
            "Catch",
            "Resource",
            "TimeoutSeconds",
            "TimeoutSecondsPath",
            "HeartbeatSeconds",
            "HeartbeatSecondsPath",
            "Credentials",
        ],
        "Choice" => &["InputPath", "OutputPath", "Assign", "Choices", "Default"],
        "Wait" => &[
            "InputPath",
            "OutputPath",
            "Assign",
            "Next",
            "End",
            "Seconds",
            "SecondsPath",
            "Timestamp",
            "TimestampPath",
        ],
        "Succeed" => &["InputPath", "OutputPath"],
        "Fail" => &["Error", "ErrorPath", "Cause", "CausePath"],
        "Parallel" => &[
            "InputPath",
            "OutputPath",
            "Parameters",
            "ResultSelector",
            "ResultPath",
            "Assign",
            "Next",
            "End",
            "Retry",
            "Catch",
            "Branches",
        ],
        _ => &[
            "InputPath",
            "OutputPath",
            "Parameters",
            "ItemSelector",
            "ResultSelector",
            "ResultPath",
            "Assign",
            "Next",
            "End",
            "Retry",
            "Catch",
            "ItemsPath",
            "ItemProcessor",
            "Iterator",
            "MaxConcurrency",
            "MaxConcurrencyPath",
            "Label",
            "ItemReader",
            "ItemBatcher",
            "ResultWriter",
            "ToleratedFailureCount",
            "ToleratedFailureCountPath",
            "ToleratedFailurePercentage",
            "ToleratedFailurePercentagePath",
        ],
    }
}

/// Fields that only one of the query languages has.
const JSONATA_FIELDS: &[&str] = &["Arguments", "Output", "Items", "Condition"];
const JSONPATH_FIELDS: &[&str] = &[
    "InputPath",
    "OutputPath",
    "Parameters",
    "ResultSelector",
    "ResultPath",
    "ItemsPath",
    "SecondsPath",
    "TimestampPath",
    "TimeoutSecondsPath",
    "HeartbeatSecondsPath",
    "MaxConcurrencyPath",
    "ErrorPath",
    "CausePath",
    "ToleratedFailureCountPath",
    "ToleratedFailurePercentagePath",
    "Result",
];

/// Every field that a state of a type may have in a query language.
fn allowed(kind: &str, language: QueryLanguage) -> Vec<&'static str> {
    let mut allowed = vec!["Type", "Comment", "QueryLanguage"];
    allowed.extend(fields_of(kind));
    if language == QueryLanguage::Jsonata {
        allowed.retain(|field| !JSONPATH_FIELDS.contains(field));
        allowed.extend(match kind {
            "Fail" => &[][..],
            "Task" | "Parallel" => &["Arguments", "Output"],
            "Map" => &["Items", "Output"],
            _ => &["Output"],
        });
    }
    allowed
}

pub(super) fn parse(name: &str, fields: &Fields<'_>, names: &Names<'_>, context: Context) -> Option<State> {
    if !fields.require("Type") {
        return None;
    }
    let kind_name = fields.text("Type")?;
    if !TYPES.contains(&kind_name) {
        let hint = nearest(kind_name, TYPES.iter().copied()).map(|meant| format!("did you mean `{meant}`?"));
        let message = format!(
            "The field 'Type' should have one of these values: [{}]",
            TYPES.join(", ")
        );
        fields.report(
            Severity::Error,
            Code::SchemaValidationFailed,
            &fields.at("Type"),
            message,
            hint,
        );
        return None;
    }
    let language = query_language(fields);
    if context.language == QueryLanguage::Jsonata && language == Some(QueryLanguage::JsonPath) {
        fields.wrong_here("'QueryLanguage' can not be 'JSONPath' if set to 'JSONata' for whole state machine");
        return None;
    }
    let language = language.unwrap_or(context.language);
    let fields = &fields.with_language(language);
    let allowed = allowed(kind_name, language);
    for field in fields.names().filter(|field| !allowed.contains(field)) {
        if JSONATA_FIELDS.contains(&field) || TYPES.iter().any(|other| fields_of(other).contains(&field)) {
            fields.wrong(
                field,
                format!("The field '{field}' is not supported in {language} {kind_name} states"),
            );
        }
    }
    fields.allow_only(&allowed);
    fields.text("Comment");
    let supports = |field: &str| allowed.contains(&field);
    let input_path = flow::selection(fields, "InputPath");
    let output_path = flow::selection(fields, "OutputPath");
    let output = if supports("Output") {
        flow::payload(fields, "Output")
    } else {
        Some(None)
    };
    let assign = if supports("Assign") {
        flow::assign(fields)
    } else {
        Some(None)
    };
    let kind = kind(kind_name, fields, names, context);
    Some(State {
        name: name.to_owned(),
        language,
        kind: kind?,
        input_path: input_path?,
        output_path: output_path?,
        assign: assign?,
        output: output?,
    })
}

fn kind(name: &str, fields: &Fields<'_>, names: &Names<'_>, context: Context) -> Option<StateKind> {
    match name {
        "Pass" => pass(fields, names),
        "Task" => task(fields, names),
        "Choice" => choice::parse(fields, names),
        "Wait" => wait(fields, names),
        "Succeed" => Some(StateKind::Succeed),
        "Fail" => fail(fields),
        "Parallel" => parallel(fields, names, context),
        _ => map::parse(fields, names, context),
    }
}

fn pass(fields: &Fields<'_>, names: &Names<'_>) -> Option<StateKind> {
    let parameters = flow::payload(fields, flow::arguments(fields));
    let result_path = flow::result_path(fields);
    let transition = flow::transition(fields, names);
    Some(StateKind::Pass {
        result: fields.get("Result").cloned(),
        parameters: parameters?,
        result_path: result_path?,
        transition: transition?,
    })
}

fn task(fields: &Fields<'_>, names: &Names<'_>) -> Option<StateKind> {
    let resource = if fields.require("Resource") {
        resource(fields)
    } else {
        None
    };
    let parameters = flow::payload(fields, flow::arguments(fields));
    let timeout = flow::seconds(fields, "TimeoutSeconds", 1..=SECONDS_MAX);
    let heartbeat = flow::seconds(fields, "HeartbeatSeconds", 1..=SECONDS_MAX);
    if let (Some(Some(Seconds::Literal(timeout))), Some(Some(Seconds::Literal(heartbeat)))) = (&timeout, &heartbeat)
        && heartbeat >= timeout
    {
        fields.wrong("HeartbeatSeconds", "Value must be smaller than 'TimeoutSeconds'");
    }
    let credentials = credentials(fields);
    let outcome = flow::outcome(fields, names);
    Some(StateKind::Task(Box::new(Task {
        resource: resource?,
        parameters: parameters?,
        credentials: credentials?,
        timeout: timeout?,
        heartbeat: heartbeat?,
        outcome: outcome?,
    })))
}

fn resource(fields: &Fields<'_>) -> Option<Resource> {
    let arn = fields.text("Resource")?;
    let resource = Resource::parse(arn);
    if resource.is_none() {
        let message = if arn.starts_with("arn:") {
            format!(
                "The resource provided {arn} is not recognized. The value is not a valid resource ARN, \
                 or the resource is not available in this region."
            )
        } else {
            "Value is not a valid resource ARN".to_owned()
        };
        fields.wrong("Resource", message);
    }
    resource
}

fn credentials(fields: &Fields<'_>) -> Option<Option<crate::template::Template>> {
    if !fields.has("Credentials") {
        return Some(None);
    }
    let object = fields.object("Credentials")?;
    if !object.has("RoleArn") && !object.has("RoleArn.$") {
        object.wrong_here("The field 'RoleArn' is required but was missing");
        return None;
    }
    fields.template("Credentials").map(Some)
}

fn wait(fields: &Fields<'_>, names: &Names<'_>) -> Option<StateKind> {
    const FORMS: [&str; 4] = ["Seconds", "SecondsPath", "Timestamp", "TimestampPath"];
    let given: Vec<&str> = FORMS.into_iter().filter(|form| fields.has(form)).collect();
    let expression = fields.language == QueryLanguage::Jsonata
        && given.first().is_some_and(|form| {
            fields
                .get(form)
                .and_then(Value::as_str)
                .is_some_and(|text| text.starts_with("{%"))
        });
    let until = match given.as_slice() {
        ["Seconds"] if expression => fields.template("Seconds").map(WaitUntil::SecondsTemplate),
        ["Timestamp"] if expression => fields.template("Timestamp").map(WaitUntil::TimestampTemplate),
        ["Seconds"] => fields.integer("Seconds", 0..=SECONDS_MAX).map(WaitUntil::Seconds),
        ["SecondsPath"] => fields.definite_path("SecondsPath").map(WaitUntil::SecondsPath),
        ["TimestampPath"] => fields.definite_path("TimestampPath").map(WaitUntil::TimestampPath),
        ["Timestamp"] => fields.text("Timestamp").and_then(|text| {
            let valid = parse_instant(text).is_some();
            if !valid {
                fields.wrong("Timestamp", "String does not match RFC3339 timestamp");
            }
            valid.then(|| WaitUntil::Timestamp(text.to_owned()))
        }),
        _ => {
            fields.wrong_here(format!(
                "Exactly one of these fields is required: [{}]",
                FORMS.join(", ")
            ));
            None
        }
    };
    let transition = flow::transition(fields, names);
    Some(StateKind::Wait {
        until: until?,
        transition: transition?,
    })
}

fn fail(fields: &Fields<'_>) -> Option<StateKind> {
    let (error, cause) = (fail_text(fields, "Error"), fail_text(fields, "Cause"));
    Some(StateKind::Fail {
        error: error?,
        cause: cause?,
    })
}

fn fail_text(fields: &Fields<'_>, name: &str) -> Option<FailText> {
    /// The functions that give a text; AWS allows no others here.
    const FUNCTIONS: &[&str] = &[
        "Format",
        "JsonToString",
        "ArrayGetItem",
        "Base64Encode",
        "Base64Decode",
        "Hash",
        "UUID",
    ];
    let path_name = format!("{name}Path");
    fields.exclusive(name, &path_name);
    if fields.has(name) && fields.language == QueryLanguage::Jsonata {
        fields.text(name)?;
        return fields.template(name).map(FailText::Template);
    }
    if fields.has(name) {
        return fields.text(name).map(|text| FailText::Literal(text.to_owned()));
    }
    if !fields.has(&path_name) {
        return Some(FailText::Absent);
    }
    let text = fields.text(&path_name)?;
    let allowed = text.starts_with('$')
        || FUNCTIONS
            .iter()
            .any(|function| text.starts_with(&format!("States.{function}(")));
    match Expression::parse(text) {
        Ok(expression) if allowed => Some(FailText::Expression(expression)),
        _ => {
            fields.wrong(
                &path_name,
                format!("Value is not a Reference Path or an intrinsic function that gives a text: {text}"),
            );
            None
        }
    }
}

fn parallel(fields: &Fields<'_>, names: &Names<'_>, context: Context) -> Option<StateKind> {
    let parameters = flow::payload(fields, flow::arguments(fields));
    let outcome = flow::outcome(fields, names);
    if !fields.require("Branches") {
        return None;
    }
    let count = fields.list("Branches")?.len();
    if count == 0 {
        fields.wrong("Branches", "Value cannot be empty");
        return None;
    }
    let branches: Vec<_> = fields
        .objects("Branches")
        .iter()
        .filter_map(|branch| nested(branch, context))
        .collect();
    (branches.len() == count).then_some(())?;
    Some(StateKind::Parallel {
        branches,
        parameters: parameters?,
        outcome: outcome?,
    })
}
