//! Which variables each state of a definition reads, as
//! DescribeStateMachine lists them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// The names that JSONata expressions find without anybody assigning them.
const JSONATA_OWN: [&str; 1] = ["states"];

/// The variables that each state refers to, by the state's name; both in
/// alphabetical order. States of nested workflows are listed by their own
/// names, and states without references are left out. A text that is no
/// definition has none.
///
/// ```
/// let definition = r#"{"StartAt": "A", "States": {"A": {"Type": "Pass", "InputPath": "$answer", "End": true}}}"#;
/// let references = scones_asl::variable_references(definition);
/// assert_eq!(references["A"].first().map(String::as_str), Some("answer"));
/// ```
#[must_use]
pub fn variable_references(definition: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut found = BTreeMap::new();
    if let Ok(machine) = serde_json::from_str::<Value>(definition) {
        workflow(&machine, &mut found);
    }
    found
}

fn workflow(workflow: &Value, found: &mut BTreeMap<String, BTreeSet<String>>) {
    let Some(states) = workflow.get("States").and_then(Value::as_object) else {
        return;
    };
    for (name, state) in states {
        let mut names = BTreeSet::new();
        for (field, value) in state.as_object().into_iter().flatten() {
            // Literal, or states of their own.
            if !["Comment", "Result", "ItemProcessor", "Iterator", "Branches"].contains(&field.as_str()) {
                member(field, value, &mut names);
            }
        }
        if !names.is_empty() {
            found.entry(name.clone()).or_default().extend(names);
        }
        for processor in ["ItemProcessor", "Iterator"].iter().filter_map(|name| state.get(name)) {
            self::workflow(processor, found);
        }
        for branch in state.get("Branches").and_then(Value::as_array).into_iter().flatten() {
            self::workflow(branch, found);
        }
    }
}

/// What one member of a state, of one of its rules or of a template refers to.
fn member(field: &str, value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => text_of(field, text, names),
        Value::Object(members) => {
            for (field, value) in members {
                member(field, value, names);
            }
        }
        // A text in an array cannot be a path, only JSONata.
        Value::Array(items) => {
            for item in items {
                member("", item, names);
            }
        }
        _ => {}
    }
}

fn text_of(field: &str, text: &str, names: &mut BTreeSet<String>) {
    if let Some(expression) = text.strip_prefix("{%").and_then(|text| text.strip_suffix("%}")) {
        jsonata(expression, names);
    } else if is_path(field) {
        // Paths, and intrinsic functions over them; their texts are in quotes.
        names.extend(tokens(text, &['\'']).into_iter().map(|token| token.name));
    }
}

/// Whether a field holds a path or an intrinsic function.
fn is_path(field: &str) -> bool {
    field.ends_with(".$") || field.ends_with("Path") || field == "Variable"
}

/// A variable's name in a text.
struct Token {
    name: String,
    /// What follows it, without white space.
    next: Option<char>,
    /// It is assigned here: `$name :=`.
    bound: bool,
}

/// The variables of a JSONata expression: neither those that it binds itself,
/// as the parameters of its functions are, nor functions that it calls.
fn jsonata(expression: &str, names: &mut BTreeSet<String>) {
    let found = tokens(expression, &['\'', '"', '`']);
    let own: BTreeSet<String> = found
        .iter()
        .filter(|token| token.bound)
        .map(|token| token.name.clone())
        .chain(parameters(expression))
        .collect();
    let free = found
        .into_iter()
        .filter(|token| token.next != Some('(') && !own.contains(&token.name))
        .map(|token| token.name)
        .filter(|name| !JSONATA_OWN.contains(&name.as_str()));
    names.extend(free);
}

/// The parameters of `function($a, $b)` and `λ($a)`.
fn parameters(expression: &str) -> Vec<String> {
    let mut found = Vec::new();
    for keyword in ["function", "λ"] {
        for rest in expression.split(keyword).skip(1) {
            let list = rest
                .trim_start()
                .strip_prefix('(')
                .and_then(|rest| rest.split(')').next());
            found.extend(
                tokens(list.unwrap_or_default(), &[])
                    .into_iter()
                    .map(|token| token.name),
            );
        }
    }
    found
}

/// Every `$name` outside of texts in `quotes`; not `$$.name`, `$.name`, `$[0]`.
fn tokens(text: &str, quotes: &[char]) -> Vec<Token> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let after = &rest[character.len_utf8()..];
        rest = match character {
            quote if quotes.contains(&quote) => skip_quoted(after, quote),
            '$' => {
                let after_dollars = after.trim_start_matches('$');
                let name_end = after_dollars
                    .find(|next: char| !(next.is_alphanumeric() || next == '_'))
                    .unwrap_or(after_dollars.len());
                let (name, tail) = after_dollars.split_at(name_end);
                let starts_well = name.starts_with(|first: char| first.is_alphabetic() || first == '_');
                if starts_well && after_dollars.len() == after.len() {
                    let tail = tail.trim_start();
                    found.push(Token {
                        name: name.to_owned(),
                        next: tail.chars().next(),
                        bound: tail.starts_with(":="),
                    });
                }
                tail
            }
            _ => after,
        };
    }
    found
}

/// What follows a quoted text, which a backslash may escape characters in.
fn skip_quoted(text: &str, quote: char) -> &str {
    let mut escaped = false;
    for (position, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == quote => return &text[position + character.len_utf8()..],
            _ => {}
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The references of one state.
    fn check(state: Value, expect: &[&str]) {
        let definition = json!({"StartAt": "S", "States": {"S": state}}).to_string();
        let found = variable_references(&definition);
        let names: Vec<&str> = found.get("S").into_iter().flatten().map(String::as_str).collect();
        assert_eq!(names, expect, "{definition}");
    }

    #[test]
    fn paths_refer_to_variables() {
        check(
            json!({"InputPath": "$a.b", "OutputPath": "$.c", "ResultPath": "$.d"}),
            &["a"],
        );
        check(
            json!({"Parameters": {"x.$": "$b", "y": "$c", "z": [{"w.$": "$a[0]"}]}}),
            &["a", "b"],
        );
        check(json!({"SecondsPath": "$wait"}), &["wait"]);
        check(json!({"Parameters": {"x.$": "$$.Execution.Id", "y.$": "$['k']"}}), &[]);
        check(
            json!({"Assign": {"x.$": "States.Format('{} of $all', $n, States.Array($m))"}}),
            &["m", "n"],
        );
        check(
            json!({"Parameters": {"x.$": r"States.Format('it\'s $all {}', $n)"}}),
            &["n"],
        );
        check(
            json!({"Choices": [{"And": [{"Variable": "$g", "NumericEqualsPath": "$h"}], "Next": "S"}]}),
            &["g", "h"],
        );
        check(
            json!({"ItemReader": {"ReaderConfig": {"MaxItemsPath": "$most"}}}),
            &["most"],
        );
        check(json!({"Comment": "$not", "Result": "$not"}), &[]);
    }

    #[test]
    fn expressions_refer_to_variables() {
        check(json!({"Output": "{% $a + $sum([$b, $states.input.c]) %}"}), &["a", "b"]);
        check(json!({"Arguments": {"list": ["{% $x %}", "$y"]}}), &["x"]);
        check(
            json!({"Output": "{% ($t := $v; $map($l, function($i, $n) { $i * $t })) %}"}),
            &["l", "v"],
        );
        check(json!({"Output": "{% \"$text\" & '$text' & $$.field %}"}), &[]);
        check(json!({"Assign": {"n": "{% $n+1 %}"}}), &["n"]);
    }

    #[test]
    fn nested_states_are_listed_by_their_own_names() {
        let inner = json!({"StartAt": "I", "States": {"I": {"Type": "Pass", "InputPath": "$inner"}}});
        let definition = json!({"StartAt": "M", "States": {
            "M": {"Type": "Map", "ItemsPath": "$items", "ItemProcessor": inner, "Next": "P"},
            "P": {"Type": "Parallel", "Branches": [{"StartAt": "B", "States": {"B": {"InputPath": "$branch"}}}]},
        }});
        let found = variable_references(&definition.to_string());
        let listed: Vec<(&str, Vec<&str>)> = found
            .iter()
            .map(|(state, names)| (state.as_str(), names.iter().map(String::as_str).collect()))
            .collect();
        assert_eq!(
            listed,
            [("B", vec!["branch"]), ("I", vec!["inner"]), ("M", vec!["items"])]
        );
    }

    #[test]
    fn what_is_no_definition_has_none() {
        for text in ["", "{", "[]", "{\"States\": []}", "{\"States\": {\"S\": 1}}"] {
            assert_eq!(variable_references(text), BTreeMap::new());
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "[$a'\"\\\\(:=)λ {}%.]{0,40}") {
            let state = json!({"a.$": text, "b": format!("{{%{text}%}}")});
            let _ = variable_references(&json!({"States": {"S": state}}).to_string());
        }
    }
}
