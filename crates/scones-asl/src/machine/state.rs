//! Reads one state.

use serde_json::Value;

use super::diagnostic::{Code, Severity};
use super::fields::Fields;
use super::parse::{Context, Names, nested, query_language};
use super::schema::{TYPES, fields_of};
use super::{
    FailText, QueryLanguage, Resource, State, StateKind, Task, WaitUntil, WholeNumber, choice, flow, map, parameters,
    warn,
};
use crate::intrinsic::Expression;
use crate::limits::SECONDS_MAX;
use crate::time::parse_instant;

pub(super) fn parse(name: &str, fields: &Fields<'_>, names: &Names<'_>, context: Context) -> Option<State> {
    if !fields.require("Type") {
        return None;
    }
    let kind_name = type_of(fields)?;
    let language = query_language(fields);
    if context.language == QueryLanguage::Jsonata && language == Some(QueryLanguage::JsonPath) {
        fields.wrong_here("'QueryLanguage' can not be 'JSONPath' if set to 'JSONata' for whole state machine");
        return None;
    }
    let language = language.unwrap_or(context.language);
    let fields = &fields.with_language(language);
    let allowed = fields_of(kind_name, language);
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

fn type_of<'a>(fields: &Fields<'a>) -> Option<&'a str> {
    let kind = fields.text("Type")?;
    if !TYPES.contains(&kind) {
        let meant = fields.meant(kind, TYPES.iter().copied());
        let message = format!(
            "The field 'Type' should have one of these values: [{}]",
            TYPES.join(", ")
        );
        match meant {
            Some(meant) => fields.wrong_because("Type", message, format!("did you mean `{meant}`?")),
            None => fields.wrong("Type", message),
        }
        return None;
    }
    Some(kind)
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
    warn::pass_result(fields);
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
    if let Some(resource) = &resource {
        parameters::check(fields, resource);
    }
    let timeout = flow::whole_number(fields, "TimeoutSeconds", 1..=SECONDS_MAX);
    let heartbeat = flow::whole_number(fields, "HeartbeatSeconds", 1..=SECONDS_MAX);
    if let (Some(Some(WholeNumber::Literal(timeout))), Some(Some(WholeNumber::Literal(heartbeat)))) =
        (&timeout, &heartbeat)
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
    let text = fields.text("Resource")?;
    let resource = Resource::parse(text);
    let is_arn = text.starts_with("arn:");
    let message = "Value is not a valid resource ARN";
    match &resource {
        Some(_) if is_arn => {}
        Some(_) => fields.report(
            Severity::Warning,
            Code::SchemaValidationFailed,
            &fields.at("Resource"),
            message,
            Some("only a driver of your own can run it".to_owned()),
        ),
        None if is_arn => fields.report(
            Severity::Error,
            Code::SchemaValidationFailed,
            &fields.at("Resource"),
            format!(
                "The resource provided {text} is not recognized. The value is not a valid resource ARN, \
                 or the resource is not available in this region."
            ),
            super::resource::hint(fields, text),
        ),
        None => fields.wrong("Resource", message),
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
    fields.at_most_one(&FORMS);
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
        [] => {
            fields.wrong_here(format!("One of these fields is required: [{}]", FORMS.join(", ")));
            None
        }
        _ => None,
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
        warn::no_path(fields, name);
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
            let hint = format!("use a path or one of these functions: {}", FUNCTIONS.join(", "));
            fields.wrong_because(&path_name, "Value must be a valid JSONPath.", hint);
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
