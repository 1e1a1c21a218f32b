//! Reads a Map state, inline or distributed.

use serde_json::Value;

use super::diagnostic::{Code, Severity};
use super::fields::Fields;
use super::parse::{Context, Names, nested};
use super::{Batcher, Distributed, Items, Map, Percentage, QueryLanguage, StateKind, Workflow, datasets, flow, schema};
use crate::limits::LABEL_CHARS_MAX;
use std::sync::Arc;

pub(super) fn parse(fields: &Fields<'_>, names: &Names<'_>, context: Context) -> Option<StateKind> {
    fields.exclusive("ItemProcessor", "Iterator");
    fields.exclusive("ItemSelector", "Parameters");
    let processor = processor(fields, context);
    let selector = if fields.has("ItemSelector") {
        "ItemSelector"
    } else {
        "Parameters"
    };
    let item_selector = flow::payload(fields, selector);
    let items = items(fields);
    let max_concurrency = flow::whole_number(fields, "MaxConcurrency", 0..=u64::MAX);
    let outcome = flow::outcome(fields, names);
    let (processor, express) = processor?;
    // Read in any case, so that mistakes are reported.
    let distributed = distributed(fields, express.unwrap_or_default());
    if express.is_none() {
        refuse_distributed(fields);
    }
    Some(StateKind::Map(Arc::new(Map {
        processor,
        items: items?,
        item_selector: item_selector?,
        max_concurrency: max_concurrency?,
        distributed: express.is_some().then_some(Box::new(distributed?)),
        outcome: outcome?,
    })))
}

/// What an inline map has no use for: datasets and results of its own would
/// be missed, the rest changes nothing.
fn refuse_distributed(fields: &Fields<'_>) {
    for field in schema::DISTRIBUTED.iter().filter(|field| fields.has(field)) {
        let message = format!("The field '{field}' is only supported for distributed Map states");
        if field.starts_with("Item") || field.starts_with("Result") {
            fields.wrong(field, message);
        } else {
            let hint = Some("set 'ProcessorConfig.Mode' to DISTRIBUTED".to_owned());
            fields.report(
                Severity::Warning,
                Code::SchemaValidationFailed,
                &fields.at(field),
                message,
                hint,
            );
        }
    }
}

/// The states of an iteration; for a distributed map also whether its child
/// executions are Express ones.
fn processor(fields: &Fields<'_>, context: Context) -> Option<(Arc<Workflow>, Option<bool>)> {
    let Some(name) = ["ItemProcessor", "Iterator"].into_iter().find(|name| fields.has(name)) else {
        fields.require("ItemProcessor");
        return None;
    };
    let processor = fields.object(name)?;
    let express = execution_type(&processor);
    let workflow = nested(&processor, context);
    let (workflow, express) = (workflow?, express?);
    if express == Some(true) && !workflow.distributed_maps("").is_empty() {
        processor.wrong_here("Express child executions do not support distributed Map states");
        return None;
    }
    Some((workflow, express))
}

fn execution_type(processor: &Fields<'_>) -> Option<Option<bool>> {
    if !processor.has("ProcessorConfig") {
        return Some(None);
    }
    let config = processor.object("ProcessorConfig")?;
    config.allow_only(&["Mode", "ExecutionType"]);
    let distributed = match config.has("Mode") {
        true => config.one_of("Mode", &[("INLINE", false), ("DISTRIBUTED", true)])?,
        false => false,
    };
    if !distributed {
        if config.has("ExecutionType") {
            config.wrong(
                "ExecutionType",
                "The field 'ExecutionType' is only supported for distributed Map states",
            );
        }
        return Some(None);
    }
    if !config.require("ExecutionType") {
        return None;
    }
    config
        .one_of("ExecutionType", &[("STANDARD", false), ("EXPRESS", true)])
        .map(Some)
}

fn items(fields: &Fields<'_>) -> Option<Items> {
    match fields.language {
        QueryLanguage::JsonPath if fields.has("ItemsPath") => fields.path("ItemsPath").map(Items::Path),
        QueryLanguage::Jsonata if fields.has("Items") => match fields.get("Items") {
            Some(Value::Array(_) | Value::String(_) | Value::Object(_)) => {
                fields.template("Items").map(Items::Template)
            }
            _ => {
                fields.wrong("Items", "Expected value of type Array or a JSONata expression");
                None
            }
        },
        _ => Some(Items::Input),
    }
}

fn distributed(fields: &Fields<'_>, express: bool) -> Option<Distributed> {
    let label = label(fields);
    let reader = fields.optional("ItemReader", datasets::reader);
    let batcher = fields.optional("ItemBatcher", batcher);
    let writer = fields.optional("ResultWriter", datasets::writer);
    let tolerated_count = flow::whole_number(fields, "ToleratedFailureCount", 0..=u64::MAX);
    let tolerated_percentage = percentage(fields);
    Some(Distributed {
        label: label?,
        express,
        reader: reader?,
        batcher: batcher?,
        writer: writer?,
        tolerated_count: tolerated_count?,
        tolerated_percentage: tolerated_percentage?,
    })
}

fn label(fields: &Fields<'_>) -> Option<Option<String>> {
    const SPECIAL: &str = "?*<>{}[]:;,\\|^~$#%&`\"";
    if !fields.has("Label") {
        return Some(None);
    }
    let label = fields.text("Label")?;
    let refused = |c: &char| c.is_whitespace() || c.is_control() || SPECIAL.contains(*c);
    let message = if label.is_empty() {
        "Value cannot be empty".to_owned()
    } else if label.chars().count() > LABEL_CHARS_MAX {
        format!("Label cannot exceed {LABEL_CHARS_MAX} characters")
    } else if let Some(character) = label.chars().find(refused) {
        format!("Label contains invalid character: '{}'", escaped(character))
    } else {
        return Some(Some(label.to_owned()));
    };
    fields.report(
        Severity::Error,
        Code::InvalidLabelName,
        &fields.at("Label"),
        message,
        None,
    );
    None
}

/// A character that can be seen.
fn escaped(character: char) -> String {
    match character {
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        '\t' => "\\t".to_owned(),
        '\\' => "\\\\".to_owned(),
        _ if character.is_control() => format!("\\x{:02x}", u32::from(character)),
        _ => character.to_string(),
    }
}

fn percentage(fields: &Fields<'_>) -> Option<Option<Percentage>> {
    const NAME: &str = "ToleratedFailurePercentage";
    const PATH: &str = "ToleratedFailurePercentagePath";
    fields.exclusive(NAME, PATH);
    if fields.language == QueryLanguage::Jsonata && fields.get(NAME).is_some_and(Value::is_string) {
        return fields
            .template(NAME)
            .map(|template| Some(Percentage::Template(template)));
    }
    if fields.has(NAME) {
        let percentage = fields.number(NAME)?;
        return fields
            .within(NAME, &percentage, &0.0, &100.0)
            .then_some(Some(Percentage::Literal(percentage)));
    }
    if fields.has(PATH) {
        return fields.definite_path(PATH).map(|path| Some(Percentage::Path(path)));
    }
    Some(None)
}

fn batcher(fields: &Fields<'_>) -> Option<Batcher> {
    fields.allow_only(&[
        "BatchInput",
        "MaxItemsPerBatch",
        "MaxItemsPerBatchPath",
        "MaxInputBytesPerBatch",
        "MaxInputBytesPerBatchPath",
    ]);
    let max_items = flow::whole_number(fields, "MaxItemsPerBatch", 1..=u64::MAX);
    let max_bytes = flow::whole_number(fields, "MaxInputBytesPerBatch", 1..=u64::MAX);
    let input = flow::payload(fields, "BatchInput");
    let (max_items, max_bytes) = (max_items?, max_bytes?);
    if max_items.is_none() && max_bytes.is_none() {
        fields.wrong_here(
            "At least one of these fields is required: [MaxItemsPerBatch, MaxItemsPerBatchPath, \
             MaxInputBytesPerBatch, MaxInputBytesPerBatchPath]",
        );
        return None;
    }
    Some(Batcher {
        max_items,
        max_bytes,
        input: input?,
    })
}
