//! Reads a Map state, inline or distributed.

use serde_json::Value;

use super::diagnostic::{Code, Severity};
use super::fields::Fields;
use super::parse::{Context, Names, nested};
use super::{
    Batcher, CsvHeaders, Distributed, Items, Map, Percentage, QueryLanguage, Reader, ReaderFormat, Resource, StateKind,
    Workflow, Writer, flow,
};
use crate::limits::{LABEL_CHARS_MAX, READER_CSV_HEADER_BYTES_MAX, READER_ITEMS_MAX};
use crate::map_run::{Delimiter, InputType, ManifestType, OutputType, Transformation};
use std::sync::Arc;

/// Fields that a distributed Map state has and an inline one has not.
const DISTRIBUTED_FIELDS: &[&str] = &[
    "Label",
    "ItemReader",
    "ItemBatcher",
    "ResultWriter",
    "ToleratedFailureCount",
    "ToleratedFailureCountPath",
    "ToleratedFailurePercentage",
    "ToleratedFailurePercentagePath",
];

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
    for field in DISTRIBUTED_FIELDS.iter().filter(|field| fields.has(field)) {
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
    let reader = optional(fields, "ItemReader", reader);
    let batcher = optional(fields, "ItemBatcher", batcher);
    let writer = optional(fields, "ResultWriter", writer);
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

/// Reads an object that may be absent.
fn optional<T>(fields: &Fields<'_>, name: &str, read: impl FnOnce(&Fields<'_>) -> Option<T>) -> Option<Option<T>> {
    if !fields.has(name) {
        return Some(None);
    }
    read(&fields.object(name)?).map(Some)
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

fn reader(fields: &Fields<'_>) -> Option<Reader> {
    fields.allow_only(&["Resource", "ReaderConfig", flow::arguments(fields)]);
    let resource = service(fields, &["getObject", "listObjectsV2"]);
    let parameters = flow::payload(fields, flow::arguments(fields));
    let format = optional(fields, "ReaderConfig", format).map(Option::unwrap_or_default);
    let (resource, format) = (resource?, format?);
    let lists = matches!(&resource, Resource::Service { action, .. } if action == "listObjectsV2");
    if let Some(problem) = misfit(&format, lists) {
        fields.wrong_here(problem);
        return None;
    }
    Some(Reader {
        resource,
        parameters: parameters?,
        format,
    })
}

/// What does not go together in a `ReaderConfig`.
fn misfit(format: &ReaderFormat, lists: bool) -> Option<&'static str> {
    let manifest = format.input_type == Some(InputType::Manifest);
    match (format.input_type, format.manifest_type) {
        _ if lists && format.flatten && manifest => {
            Some("The Transformation LOAD_AND_FLATTEN reads objects of items, not manifests")
        }
        _ if lists => None,
        (None, None) => Some("The field 'ReaderConfig.InputType' is required for s3:getObject"),
        (None | Some(InputType::Manifest), Some(ManifestType::AthenaData)) => Some(
            "The field 'ReaderConfig.InputType' is required to be that of the data for the ManifestType ATHENA_DATA",
        ),
        (Some(InputType::Json | InputType::JsonLines | InputType::Parquet), Some(ManifestType::S3Inventory)) => {
            Some("The ManifestType S3_INVENTORY goes without the field 'ReaderConfig.InputType'")
        }
        _ => None,
    }
}

/// The S3 action that `Resource` names, one of `actions`.
fn service(fields: &Fields<'_>, actions: &[&str]) -> Option<Resource> {
    if !fields.require("Resource") {
        return None;
    }
    let arn = fields.text("Resource")?;
    let action = arn
        .strip_prefix("arn:")
        .and_then(|rest| rest.split_once(":states:::s3:"))
        .map(|(_, action)| action)
        .filter(|action| actions.contains(action));
    if action.is_none() {
        let known: Vec<String> = actions
            .iter()
            .map(|action| format!("arn:aws:states:::s3:{action}"))
            .collect();
        fields.wrong(
            "Resource",
            format!(
                "The resource provided {arn} is not recognized here: expected {}",
                known.join(" or ")
            ),
        );
    }
    action.map(|action| Resource::Service {
        service: "s3".to_owned(),
        resource: action.to_owned(),
        action: action.to_owned(),
        pattern: super::Pattern::RequestResponse,
    })
}

fn format(fields: &Fields<'_>) -> Option<ReaderFormat> {
    fields.allow_only(&[
        "InputType",
        "Transformation",
        "ManifestType",
        "CSVHeaderLocation",
        "CSVHeaders",
        "CSVDelimiter",
        "MaxItems",
        "MaxItemsPath",
        "ItemsPointer",
    ]);
    let input_type = fields.one_of_or(
        "InputType",
        &[
            ("CSV", InputType::Csv),
            ("JSON", InputType::Json),
            ("JSONL", InputType::JsonLines),
            ("PARQUET", InputType::Parquet),
            ("MANIFEST", InputType::Manifest),
        ],
    );
    let manifest_type = fields.one_of_or(
        "ManifestType",
        &[
            ("ATHENA_DATA", ManifestType::AthenaData),
            ("S3_INVENTORY", ManifestType::S3Inventory),
        ],
    );
    let flatten = fields.one_of_or("Transformation", &[("NONE", false), ("LOAD_AND_FLATTEN", true)]);
    let delimiter = fields.one_of_or(
        "CSVDelimiter",
        &[
            ("COMMA", Delimiter::Comma),
            ("PIPE", Delimiter::Pipe),
            ("SEMICOLON", Delimiter::Semicolon),
            ("SPACE", Delimiter::Space),
            ("TAB", Delimiter::Tab),
        ],
    );
    let max_items = flow::whole_number(fields, "MaxItems", 0..=READER_ITEMS_MAX);
    let items_pointer = pointer(fields);
    let headers = headers(fields);
    let (input_type, headers) = (input_type?, headers?);
    if input_type == Some(InputType::Csv) && headers.is_none() {
        fields.wrong_here("The field 'CSVHeaderLocation' is required for the InputType CSV");
        return None;
    }
    let flatten = flatten?.unwrap_or_default();
    if flatten && input_type.is_none() {
        fields.wrong_here("The field 'InputType' is required for the Transformation LOAD_AND_FLATTEN");
        return None;
    }
    Some(ReaderFormat {
        input_type,
        manifest_type: manifest_type?,
        flatten,
        headers,
        delimiter: delimiter?.unwrap_or_default(),
        max_items: max_items?,
        items_pointer: items_pointer?,
    })
}

fn headers(fields: &Fields<'_>) -> Option<Option<CsvHeaders>> {
    let given = fields.one_of_or("CSVHeaderLocation", &[("FIRST_ROW", false), ("GIVEN", true)])?;
    match given {
        None => Some(None),
        Some(false) => Some(Some(CsvHeaders::FirstRow)),
        Some(true) => {
            if !fields.require("CSVHeaders") {
                return None;
            }
            let names: Option<Vec<String>> = fields
                .list("CSVHeaders")?
                .iter()
                .map(|name| name.as_str().map(str::to_owned))
                .collect();
            match names {
                Some(names) if names.iter().map(String::len).sum::<usize>() <= READER_CSV_HEADER_BYTES_MAX => {
                    Some(Some(CsvHeaders::Given(names)))
                }
                Some(_) => {
                    fields.wrong(
                        "CSVHeaders",
                        format!("The headers have more than {READER_CSV_HEADER_BYTES_MAX} bytes"),
                    );
                    None
                }
                None => {
                    fields.wrong("CSVHeaders", "Expected value of type Array of String");
                    None
                }
            }
        }
    }
}

/// `ItemsPointer`: a JSON Pointer (RFC 6901).
fn pointer(fields: &Fields<'_>) -> Option<Option<String>> {
    if !fields.has("ItemsPointer") {
        return Some(None);
    }
    let pointer = fields.text("ItemsPointer")?;
    let valid = pointer.is_empty() || pointer.starts_with('/');
    if !valid {
        fields.wrong("ItemsPointer", "Value is not a JSON Pointer: it must begin with '/'");
    }
    valid.then(|| Some(pointer.to_owned()))
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

fn writer(fields: &Fields<'_>) -> Option<Writer> {
    fields.allow_only(&["Resource", "WriterConfig", flow::arguments(fields)]);
    let resource = if fields.has("Resource") {
        service(fields, &["putObject"]).map(Some)
    } else {
        Some(None)
    };
    let parameters = flow::payload(fields, flow::arguments(fields));
    let config = optional(fields, "WriterConfig", |config| {
        config.allow_only(&["Transformation", "OutputType"]);
        if !(config.require("Transformation") & config.require("OutputType")) {
            return None;
        }
        let transformation = config.one_of(
            "Transformation",
            &[
                ("NONE", Transformation::None),
                ("COMPACT", Transformation::Compact),
                ("FLATTEN", Transformation::Flatten),
            ],
        );
        let output_type = config.one_of(
            "OutputType",
            &[("JSON", OutputType::Json), ("JSONL", OutputType::JsonLines)],
        );
        Some((transformation?, output_type?))
    });
    let (resource, parameters, config) = (resource?, parameters?, config?);
    let exports = resource.is_some();
    if exports != parameters.is_some() || (!exports && config.is_none()) {
        fields.wrong_here(format!(
            "'Resource' and '{}' go together; without them 'WriterConfig' is required",
            flow::arguments(fields)
        ));
        return None;
    }
    // Exported results are described in full unless the configuration says otherwise.
    let default = match exports {
        true => Transformation::None,
        false => Transformation::Compact,
    };
    let (transformation, output_type) = config.unwrap_or((default, OutputType::Json));
    Some(Writer {
        parameters,
        transformation,
        output_type,
    })
}
