//! Which fields each type of state has, in each query language.

use super::QueryLanguage;

/// The types of states, in AWS's order.
pub(super) const TYPES: &[&str] = &["Task", "Wait", "Pass", "Succeed", "Fail", "Choice", "Parallel", "Map"];

/// Fields of any state.
const COMMON: &[&str] = &["Type", "Comment", "QueryLanguage"];
/// Fields of a state with a successor.
const FLOW: &[&str] = &["Next", "End", "Assign", "Output", "InputPath", "OutputPath"];
/// Fields of a state that does work which may fail.
const WORK: &[&str] = &["ResultSelector", "ResultPath", "Retry", "Catch"];

/// Fields of a distributed Map state, but not of an inline one.
pub(super) const DISTRIBUTED: &[&str] = &[
    "Label",
    "ItemReader",
    "ItemBatcher",
    "ResultWriter",
    "ToleratedFailureCount",
    "ToleratedFailureCountPath",
    "ToleratedFailurePercentage",
    "ToleratedFailurePercentagePath",
];

/// Fields that only JSONata has.
const JSONATA: &[&str] = &["Arguments", "Output", "Items", "Condition"];
/// Fields that only JSONPath has.
const JSON_PATH: &[&str] = &[
    "InputPath",
    "OutputPath",
    "Parameters",
    "ResultSelector",
    "ResultPath",
    "Result",
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
    "MaxItemsPath",
    "MaxItemsPerBatchPath",
    "MaxInputBytesPerBatchPath",
    "Variable",
];

/// The groups of fields that a type of state has besides the common ones.
fn groups(kind: &str) -> &'static [&'static [&'static str]] {
    match kind {
        "Pass" => &[FLOW, &["Parameters", "Result", "ResultPath"]],
        "Task" => &[
            FLOW,
            WORK,
            &[
                "Resource",
                "Parameters",
                "Arguments",
                "TimeoutSeconds",
                "TimeoutSecondsPath",
                "HeartbeatSeconds",
                "HeartbeatSecondsPath",
                "Credentials",
            ],
        ],
        "Choice" => &[&["InputPath", "OutputPath", "Output", "Assign", "Choices", "Default"]],
        "Wait" => &[FLOW, &["Seconds", "SecondsPath", "Timestamp", "TimestampPath"]],
        "Succeed" => &[&["InputPath", "OutputPath", "Output"]],
        "Fail" => &[&["Error", "ErrorPath", "Cause", "CausePath"]],
        "Parallel" => &[FLOW, WORK, &["Branches", "Parameters", "Arguments"]],
        _ => &[
            FLOW,
            WORK,
            &[
                "ItemProcessor",
                "Iterator",
                "ItemSelector",
                "Parameters",
                "Items",
                "ItemsPath",
                "MaxConcurrency",
                "MaxConcurrencyPath",
            ],
            DISTRIBUTED,
        ],
    }
}

/// Every field that a type of state may have in a query language.
pub(super) fn fields_of(kind: &str, language: QueryLanguage) -> Vec<&'static str> {
    let groups = groups(kind).iter().flat_map(|group| group.iter());
    COMMON
        .iter()
        .chain(groups)
        .copied()
        .filter(|field| other_language(field, language).is_none())
        .collect()
}

/// The language that a field belongs to, where it is not `language`.
pub(super) fn other_language(field: &str, language: QueryLanguage) -> Option<QueryLanguage> {
    match language {
        QueryLanguage::JsonPath => JSONATA.contains(&field).then_some(QueryLanguage::Jsonata),
        QueryLanguage::Jsonata => JSON_PATH.contains(&field).then_some(QueryLanguage::JsonPath),
    }
}
