//! Reads the rules of a Choice state.

use super::fields::Fields;
use super::parse::Names;
use super::{QueryLanguage, Rule, StateKind, flow, warn};
use crate::choice::{Comparison, Condition, Operand, Relation, Subject, Test};
use crate::limits::EXPRESSION_DEPTH_MAX;
use crate::template::Template;

/// What a rule may test.
const OPERATORS: &[&str] = &[
    "And",
    "Or",
    "Not",
    "StringMatches",
    "IsNull",
    "IsPresent",
    "IsNumeric",
    "IsString",
    "IsBoolean",
    "IsTimestamp",
    "BooleanEquals",
    "BooleanEqualsPath",
    "StringEquals",
    "StringEqualsPath",
    "StringLessThan",
    "StringLessThanPath",
    "StringLessThanEquals",
    "StringLessThanEqualsPath",
    "StringGreaterThan",
    "StringGreaterThanPath",
    "StringGreaterThanEquals",
    "StringGreaterThanEqualsPath",
    "NumericEquals",
    "NumericEqualsPath",
    "NumericLessThan",
    "NumericLessThanPath",
    "NumericLessThanEquals",
    "NumericLessThanEqualsPath",
    "NumericGreaterThan",
    "NumericGreaterThanPath",
    "NumericGreaterThanEquals",
    "NumericGreaterThanEqualsPath",
    "TimestampEquals",
    "TimestampEqualsPath",
    "TimestampLessThan",
    "TimestampLessThanPath",
    "TimestampLessThanEquals",
    "TimestampLessThanEqualsPath",
    "TimestampGreaterThan",
    "TimestampGreaterThanPath",
    "TimestampGreaterThanEquals",
    "TimestampGreaterThanEqualsPath",
];

pub(super) fn parse(fields: &Fields<'_>, names: &Names<'_>) -> Option<StateKind> {
    let default = match fields.text("Default") {
        Some(default) => names.resolve(default).map(Some),
        None => (!fields.has("Default")).then_some(None),
    };
    if !fields.require("Choices") {
        return None;
    }
    let count = fields.list("Choices")?.len();
    if count == 0 {
        fields.wrong("Choices", "Value cannot be empty");
        return None;
    }
    let rules: Vec<Rule> = fields
        .objects("Choices")
        .iter()
        .filter_map(|entry| rule(entry, names))
        .collect();
    (rules.len() == count).then_some(())?;
    Some(StateKind::Choice {
        rules,
        default: default?,
    })
}

fn rule(entry: &Fields<'_>, names: &Names<'_>) -> Option<Rule> {
    let jsonata = entry.language == QueryLanguage::Jsonata;
    let condition = if jsonata {
        jsonata_condition(entry)
    } else {
        condition(entry, 0)
    };
    let output = if jsonata {
        flow::payload(entry, "Output")
    } else {
        Some(None)
    };
    let assign = flow::assign(entry);
    entry.require("Next");
    let next = entry.text("Next").and_then(|next| names.resolve(next));
    Some(Rule {
        condition: condition?,
        next: next?,
        assign: assign?,
        output: output?,
    })
}

/// `Condition`: an expression, or a Boolean.
fn jsonata_condition(entry: &Fields<'_>) -> Option<Condition> {
    entry.allow_only(&["Comment", "Condition", "Next", "Assign", "Output"]);
    if !entry.require("Condition") {
        return None;
    }
    let template = entry.template("Condition")?;
    if matches!(&template, Template::Literal(value) if !value.is_boolean()) {
        entry.wrong_because("Condition", "Expected value of type Boolean", "or a JSONata expression");
        return None;
    }
    Some(Condition::Jsonata(template))
}

/// A rule or an operand of `And`, `Or` and `Not`.
fn condition(entry: &Fields<'_>, depth: usize) -> Option<Condition> {
    if depth > EXPRESSION_DEPTH_MAX {
        entry.wrong_here("The rule is nested too deeply");
        return None;
    }
    let around: &[&str] = if depth == 0 {
        &["Next", "Comment", "Assign"]
    } else {
        &["Comment"]
    };
    let allowed: Vec<&str> = around.iter().chain(&["Variable"]).chain(OPERATORS).copied().collect();
    entry.allow_only(&allowed);
    let operators: Vec<&str> = entry.names().filter(|name| OPERATORS.contains(name)).collect();
    match operators.as_slice() {
        ["And"] => all(entry, "And", depth).map(Condition::And),
        ["Or"] => all(entry, "Or", depth).map(Condition::Or),
        ["Not"] => {
            let inner = entry.object("Not")?;
            condition(&inner, depth + 1).map(|inner| Condition::Not(Box::new(inner)))
        }
        [operator] => {
            entry.require("Variable");
            let variable = entry.definite_path("Variable");
            let test = test(entry, operator);
            Some(Condition::Test {
                variable: variable?,
                test: test?,
            })
        }
        [] => {
            entry.wrong_here("A comparison operator is required");
            None
        }
        several => {
            entry.at_most_one(several);
            None
        }
    }
}

fn all(entry: &Fields<'_>, name: &str, depth: usize) -> Option<Vec<Condition>> {
    let count = entry.list(name)?.len();
    if count == 0 {
        entry.wrong(name, "Value cannot be empty");
        return None;
    }
    let parts: Vec<_> = entry
        .objects(name)
        .iter()
        .filter_map(|part| condition(part, depth + 1))
        .collect();
    (parts.len() == count).then_some(parts)
}

fn test(entry: &Fields<'_>, operator: &str) -> Option<Test> {
    let is = |make: fn(bool) -> Test| entry.boolean(operator).map(make);
    match operator {
        "IsNull" => return is(Test::IsNull),
        "IsPresent" => return is(Test::IsPresent),
        "IsNumeric" => return is(Test::IsNumeric),
        "IsString" => return is(Test::IsString),
        "IsBoolean" => return is(Test::IsBoolean),
        "IsTimestamp" => return is(Test::IsTimestamp),
        "StringMatches" => return entry.text(operator).map(|pattern| Test::Matches(pattern.to_owned())),
        _ => {}
    }
    let (name, from_path) = operator
        .strip_suffix("Path")
        .map_or((operator, false), |name| (name, true));
    let (subject, relation) = comparison(name)?;
    let operand = if from_path {
        Operand::Path(entry.definite_path(operator)?)
    } else {
        literal(entry, operator, subject)?
    };
    Some(Test::Compare(Comparison {
        subject,
        relation,
        operand,
    }))
}

fn comparison(name: &str) -> Option<(Subject, Relation)> {
    let (subject, relation) = [
        ("String", Subject::String),
        ("Numeric", Subject::Numeric),
        ("Boolean", Subject::Boolean),
        ("Timestamp", Subject::Timestamp),
    ]
    .into_iter()
    .find_map(|(prefix, subject)| Some((subject, name.strip_prefix(prefix)?)))?;
    let relation = match relation {
        "Equals" => Relation::Equal,
        _ if subject == Subject::Boolean => return None,
        "LessThan" => Relation::Less,
        "LessThanEquals" => Relation::AtMost,
        "GreaterThan" => Relation::Greater,
        "GreaterThanEquals" => Relation::AtLeast,
        _ => return None,
    };
    Some((subject, relation))
}

fn literal(entry: &Fields<'_>, operator: &str, subject: Subject) -> Option<Operand> {
    match subject {
        Subject::String => {
            entry.text(operator)?;
            warn::no_path(entry, operator);
        }
        Subject::Numeric => {
            entry.number(operator)?;
        }
        Subject::Boolean => {
            entry.boolean(operator)?;
        }
        Subject::Timestamp => {
            let text = entry.text(operator)?;
            if crate::time::parse_instant(text).is_none() {
                entry.wrong(operator, "String does not match RFC3339 timestamp");
                return None;
            }
        }
    }
    entry.get(operator).cloned().map(Operand::Literal)
}
