//! Lines of the AWS CLI that do what the story does, as a shell takes them.

use serde_json::Value;

use crate::terminal::quoted;

/// `aws OPERATION` with an option for each member of its input.
pub(super) fn line(operation: &str, input: &Value) -> String {
    let mut line = format!("aws {operation}");
    for (member, value) in input.as_object().into_iter().flatten() {
        line += &format!(" \\\n    --{} {}", option(member), argument(value));
    }
    line
}

/// `TrainingJobName` is the option `training-job-name`.
fn option(member: &str) -> String {
    let mut option = String::new();
    for letter in member.chars() {
        if letter.is_ascii_uppercase() && !option.is_empty() {
            option.push('-');
        }
        option.push(letter.to_ascii_lowercase());
    }
    option
}

fn argument(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(items) => {
            let rows: Vec<String> = items.iter().map(|item| format!("      {item}")).collect();
            quoted(&format!("[\n{}\n    ]", rows.join(",\n")))
        }
        other => quoted(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_request_becomes_a_line_of_options() {
        let input = json!({
            "TrainingJobName": "my-job",
            "RoleArn": "arn:aws:iam::000000000000:role/x",
            "InputDataConfig": [{"ChannelName": "train"}, {"ChannelName": "it's"}],
            "ResourceConfig": {"InstanceCount": 1},
            "Timeout": 30,
        });
        insta::assert_snapshot!(line("sagemaker create-training-job", &input));
    }
}
