//! Reads where the items of a distributed Map state come from, and where its
//! results go: `ItemReader` and `ResultWriter`.

use super::fields::Fields;
use super::{CsvHeaders, Reader, ReaderFormat, Resource, Writer, flow};
use crate::limits::{READER_CSV_HEADER_BYTES_MAX, READER_ITEMS_MAX};
use crate::map_run::{Delimiter, InputType, ManifestType, OutputType, Transformation};

pub(super) fn reader(fields: &Fields<'_>) -> Option<Reader> {
    fields.allow_only(&["Resource", "ReaderConfig", flow::arguments(fields)]);
    let resource = service(fields, &["getObject", "listObjectsV2"]);
    let parameters = flow::payload(fields, flow::arguments(fields));
    let format = fields.optional("ReaderConfig", format).map(Option::unwrap_or_default);
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

pub(super) fn writer(fields: &Fields<'_>) -> Option<Writer> {
    fields.allow_only(&["Resource", "WriterConfig", flow::arguments(fields)]);
    let resource = if fields.has("Resource") {
        service(fields, &["putObject"]).map(Some)
    } else {
        Some(None)
    };
    let parameters = flow::payload(fields, flow::arguments(fields));
    let config = fields.optional("WriterConfig", |config| {
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
