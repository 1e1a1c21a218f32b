//! The `validity` suite: definitions that are valid or not.

use scones_asl::Machine;
use serde_json::Value;

use crate::score::Tally;

#[test]
fn definitions_are_judged_as_recorded() {
    let Some(folder) = crate::suite("validity") else { return };
    let mut tally = Tally::default();
    for case in crate::cases(&folder) {
        let Some(definition) = case["definition_text"].as_str() else {
            continue;
        };
        let (id, expected) = (case["id"].as_str().unwrap(), case["valid"] == true);
        let definition = if expected {
            substituted(definition)
        } else {
            definition.to_owned()
        };
        let verdict = Machine::parse(&definition);
        let passed = verdict.is_ok() == expected;
        tally.add(if expected { "valid" } else { "invalid" }, passed);
        if !passed && crate::shown(id) {
            println!(
                "{id}: {} {:?}",
                case["title"],
                verdict.err().map(|problems| problems[0].to_string())
            );
        }
    }
    tally.check("validity");
}

/// Puts values in the place of `${Name}`.
fn substituted(definition: &str) -> String {
    let Ok(mut value) = serde_json::from_str::<Value>(definition) else {
        return definition.to_owned();
    };
    if !definition.contains("${") {
        return definition.to_owned();
    }
    substitute(&mut value);
    value.to_string()
}

fn substitute(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (key, field) in fields {
                match field {
                    Value::String(text) if key == "Resource" && text.contains("${") && !text.starts_with("arn:") => {
                        *text = "arn:aws:lambda:us-east-1:111111111111:function:x".to_owned();
                    }
                    _ => substitute(field),
                }
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(substitute),
        Value::String(text) => {
            let pattern = regex::Regex::new(r"\$\{[^}]*\}").unwrap();
            *text = pattern.replace_all(text, "X").into_owned();
        }
        _ => {}
    }
}
