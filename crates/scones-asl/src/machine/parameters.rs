//! What the operations of services take, so that a misspelt parameter is found
//! before anything is called.

use std::{collections::HashMap, sync::LazyLock};

use serde_json::Value;

use super::{QueryLanguage, Resource, fields::Fields, flow};

/// By `SERVICE:ACTION`.
static OPERATIONS: LazyLock<HashMap<&str, Vec<Member>>> =
    LazyLock::new(|| entries(include_str!("parameters.txt")).collect());

/// A parameter of an operation.
#[derive(Debug, PartialEq, Eq)]
struct Member {
    name: &'static str,
    required: bool,
}

impl Member {
    fn is_called(&self, name: &str) -> bool {
        name == self.name || (name.eq_ignore_ascii_case(self.name) && name == with_words(self.name))
    }
}

/// A name whose abbreviations are spelt as words: `SSEKMSKeyId` is
/// `SsekmsKeyId`, as in the SDK for Java.
fn with_words(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let is_upper = |at: usize| letters.get(at).is_some_and(char::is_ascii_uppercase);
    let is_lower = |at: usize| letters.get(at).is_some_and(char::is_ascii_lowercase);
    let spelt = letters.iter().enumerate().map(|(at, letter)| {
        let goes_on = at > 0 && is_upper(at - 1) && !is_lower(at + 1);
        if goes_on { letter.to_ascii_lowercase() } else { *letter }
    });
    spelt.collect()
}

/// What is wrong with a task's parameters, in AWS's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParameterProblem {
    /// One that the operation does not have.
    #[error("The field '{0}' is not supported by Step Functions")]
    Unknown(String),
    /// One that the operation needs.
    #[error("The field '{0}' is required but was missing")]
    Missing(&'static str),
}

impl Resource {
    /// Compares the names of a task's parameters with those that its operation
    /// takes. Operations that are not known take anything. Abbreviations may be
    /// spelt as words: SDKs differ in that.
    #[must_use]
    pub fn parameter_problems(&self, names: &[&str]) -> Vec<ParameterProblem> {
        let Some(members) = self.members() else {
            return Vec::new();
        };
        let is_given = |member: &&Member| names.iter().any(|name| member.is_called(name));
        let is_known = |name: &str| members.iter().any(|member| member.is_called(name));
        let unknown = names.iter().filter(|name| !is_known(name));
        let missing = members.iter().filter(|member| member.required && !is_given(member));
        unknown
            .map(|name| ParameterProblem::Unknown((*name).to_owned()))
            .chain(missing.map(|member| ParameterProblem::Missing(member.name)))
            .collect()
    }

    /// The API's own spelling of a parameter's name.
    #[must_use]
    pub fn parameter_name<'n>(&self, name: &'n str) -> &'n str {
        let mut members = self.members().unwrap_or_default().iter();
        members
            .find(|member| member.is_called(name))
            .map_or(name, |member| member.name)
    }

    fn members(&self) -> Option<&'static [Member]> {
        let Self::Service { service, action, .. } = self else {
            return None;
        };
        OPERATIONS
            .get(format!("{service}:{action}").as_str())
            .map(Vec::as_slice)
    }
}

/// Reports parameters of a task that its operation does not have or lacks.
/// What an expression makes is known only when the task runs.
pub(super) fn check(fields: &Fields<'_>, resource: &Resource) {
    let name = flow::arguments(fields);
    let Some(Value::Object(given)) = fields.get(name) else {
        return;
    };
    let Some(object) = fields.object(name) else { return };
    let plain = |name| match fields.language {
        QueryLanguage::JsonPath => str::strip_suffix(name, ".$").unwrap_or(name),
        QueryLanguage::Jsonata => name,
    };
    let names: Vec<&str> = given.keys().map(|name| plain(name)).collect();
    for problem in resource.parameter_problems(&names) {
        let message = problem.to_string();
        let ParameterProblem::Unknown(unknown) = problem else {
            object.wrong_here(message);
            continue;
        };
        let written = given.keys().find(|name| plain(name) == unknown).unwrap_or(&unknown);
        let members = resource.members().unwrap_or_default();
        match fields.meant(&unknown, members.iter().map(|member| member.name)) {
            Some(meant) => object.wrong_because(written, message, format!("did you mean `{meant}`?")),
            None => object.wrong(written, message),
        }
    }
}

/// Reads the notation of `parameters.txt`, which says what it means.
fn entries(text: &'static str) -> impl Iterator<Item = (&'static str, Vec<Member>)> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let is_begin = |line: &&str| !line.starts_with(' ');
    let begins: Vec<usize> = (0..lines.len()).filter(|&at| is_begin(&lines[at])).collect();
    let ends = begins.clone().into_iter().skip(1).chain([lines.len()]);
    let entries: Vec<_> = begins
        .into_iter()
        .zip(ends)
        .map(|(from, to)| lines[from..to].to_vec())
        .collect();
    entries.into_iter().filter_map(|entry| {
        let (key, first) = entry.first()?.split_once(" =")?;
        let names = [first]
            .into_iter()
            .chain(entry.into_iter().skip(1))
            .flat_map(|line| line.split(','));
        let members = names.map(str::trim).filter(|name| !name.is_empty());
        let members = members.map(|name| Member {
            name: name.trim_end_matches('!'),
            required: name.ends_with('!'),
        });
        Some((key, members.collect()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read_whole() {
        let keys = include_str!("parameters.txt")
            .lines()
            .filter(|line| line.contains(" ="));
        assert_eq!(OPERATIONS.len(), keys.filter(|line| !line.starts_with('#')).count());
        let start = &OPERATIONS["states:startExecution"];
        assert!(start.contains(&Member {
            name: "StateMachineArn",
            required: true
        }));
        assert!(start.contains(&Member {
            name: "TraceHeader",
            required: false
        }));
        assert_eq!(OPERATIONS["aws-sdk:sts:getCallerIdentity"], []);
        // Over two lines.
        assert!(
            OPERATIONS["aws-sdk:lambda:invoke"]
                .iter()
                .any(|member| member.name == "Qualifier")
        );
    }

    #[test]
    fn parameters_are_compared_with_the_operation() {
        let check = |resource: &str, names: &[&str], expect: &[&str]| {
            let resource = Resource::parse(&format!("arn:aws:states:::{resource}")).unwrap();
            let problems = resource.parameter_problems(names);
            let shown: Vec<_> = problems.iter().map(ToString::to_string).collect();
            assert_eq!(shown, expect, "{resource:?} {names:?}");
        };
        check("lambda:invoke", &["FunctionName", "Payload"], &[]);
        check(
            "lambda:invoke",
            &["FunctionNam"],
            &[
                "The field 'FunctionNam' is not supported by Step Functions",
                "The field 'FunctionName' is required but was missing",
            ],
        );
        check("aws-sdk:s3:putObject", &["Bucket", "Key", "Acl", "SsekmsKeyId"], &[]);
        check("aws-sdk:s3:putObject", &["Bucket", "Key", "ACL", "SSEKMSKeyId"], &[]);
        check(
            "aws-sdk:s3:putObject",
            &["BUCKET", "Bucket", "Key"],
            &["The field 'BUCKET' is not supported by Step Functions"],
        );
        let put = Resource::parse("arn:aws:states:::aws-sdk:s3:putObject").unwrap();
        let spelt = ["Acl", "SsekmsKeyId", "ChecksumCrc32", "ContentMd5", "Bucket", "Bogus"]
            .map(|name| put.parameter_name(name));
        assert_eq!(
            spelt,
            ["ACL", "SSEKMSKeyId", "ChecksumCRC32", "ContentMD5", "Bucket", "Bogus"]
        );
        check(
            "aws-sdk:sts:getCallerIdentity",
            &["Bogus"],
            &["The field 'Bogus' is not supported by Step Functions"],
        );
        check(
            "aws-sdk:sfn:describeExecution",
            &["executionArn"],
            &[
                "The field 'executionArn' is not supported by Step Functions",
                "The field 'ExecutionArn' is required but was missing",
            ],
        );
        check("sqs:sendMessage", &["Anything"], &[]);
        check("aws-sdk:ec2:describeInstances", &["Anything"], &[]);
    }
}
