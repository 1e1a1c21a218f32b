//! Names and ARNs of Step Functions' resources.

use std::fmt;

use scones_api::{ApiError, Arn, Constraints, Owner};

use crate::{fault, limits};

/// What an ARN of Step Functions names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Resource {
    /// `stateMachine:NAME`, `stateMachine:NAME:3`, `stateMachine:NAME:ALIAS`.
    Machine(MachineName),
    /// `execution:MACHINE:NAME`, or `express:MACHINE:NAME:ID`.
    Execution(ExecutionName),
    /// `activity:NAME`.
    Activity(String),
    /// `mapRun:MACHINE/LABEL:ID`.
    MapRun(MapRunName),
    /// Something that this service does not have, by its kind.
    Other(String),
}

/// A state machine's name with what may follow it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MachineName {
    pub(crate) machine: String,
    pub(crate) qualifier: Option<Qualifier>,
}

/// What picks one of a state machine's versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Qualifier {
    Version(u64),
    Alias(String),
}

/// An execution's name within its state machine.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ExecutionName {
    pub(crate) machine: String,
    pub(crate) name: String,
    /// The last part of an Express execution's ARN.
    pub(crate) express: Option<String>,
}

/// A map run's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MapRunName {
    /// `MACHINE/LABEL`.
    pub(crate) machine: String,
    pub(crate) id: String,
}

impl fmt::Display for MapRunName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "mapRun:{}:{}", self.machine, self.id)
    }
}

impl fmt::Display for MachineName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "stateMachine:{}", self.machine)?;
        match &self.qualifier {
            None => Ok(()),
            Some(Qualifier::Version(number)) => write!(formatter, ":{number}"),
            Some(Qualifier::Alias(alias)) => write!(formatter, ":{alias}"),
        }
    }
}

impl fmt::Display for ExecutionName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { machine, name, express } = self;
        match express {
            None => write!(formatter, "execution:{machine}:{name}"),
            Some(id) => write!(formatter, "express:{machine}:{name}:{id}"),
        }
    }
}

/// The ARN of a resource of this service.
pub(crate) fn arn(owner: &Owner, resource: &impl fmt::Display) -> String {
    Arn::new("states", owner, resource.to_string()).to_string()
}

/// The ARN of a state machine without qualifier.
pub(crate) fn machine_arn(owner: &Owner, machine: &str) -> String {
    arn(owner, &format_args!("stateMachine:{machine}"))
}

/// The ARN of a version or an alias.
pub(crate) fn qualified_arn(owner: &Owner, machine: &str, qualifier: impl fmt::Display) -> String {
    arn(owner, &format_args!("stateMachine:{machine}:{qualifier}"))
}

/// The ARN of an activity.
pub(crate) fn activity_arn(owner: &Owner, activity: &str) -> String {
    arn(owner, &format_args!("activity:{activity}"))
}

/// Reads an ARN of this service, given in `member` of a request.
pub(crate) fn parse(member: &str, text: &str) -> Result<Resource, ApiError> {
    Constraints::new()
        .length(member, text, 1, limits::ARN_CHARS_MAX)
        .check()?;
    if !text.starts_with("arn:") {
        return Err(fault::invalid_arn(format_args!("Invalid ARN prefix: {text}")));
    }
    let parsed: Arn = text
        .parse()
        .map_err(|_| fault::invalid_arn(format_args!("Invalid ARN: {text}")))?;
    if parsed.service != "states" {
        return Err(fault::invalid_arn(format_args!("Invalid ARN prefix: {text}")));
    }
    let parts: Vec<&str> = parsed.resource.split(':').collect();
    let resource = match parts.as_slice() {
        ["stateMachine", machine] => machine_name(machine, None),
        ["stateMachine", machine, qualifier] => machine_name(machine, Some(qualifier)),
        ["execution", machine, name] => execution_name(machine, name, None),
        ["express", machine, name, id] => execution_name(machine, name, Some(id)),
        ["activity", name] => Resource::Activity((*name).to_owned()),
        ["mapRun", machine, id] => Resource::MapRun(MapRunName {
            machine: (*machine).to_owned(),
            id: (*id).to_owned(),
        }),
        [kind, ..] if !["stateMachine", "execution", "express", "activity", "mapRun"].contains(kind) => {
            Resource::Other((*kind).to_owned())
        }
        _ => return Err(fault::invalid_arn(format_args!("Invalid ARN: {text}"))),
    };
    Ok(resource)
}

fn machine_name(machine: &str, qualifier: Option<&str>) -> Resource {
    let qualifier = qualifier.map(|text| match text.parse() {
        Ok(number) => Qualifier::Version(number),
        Err(_) => Qualifier::Alias(text.to_owned()),
    });
    Resource::Machine(MachineName {
        machine: machine.to_owned(),
        qualifier,
    })
}

fn execution_name(machine: &str, name: &str, express: Option<&str>) -> Resource {
    Resource::Execution(ExecutionName {
        machine: machine.to_owned(),
        name: name.to_owned(),
        express: express.map(str::to_owned),
    })
}

impl Resource {
    fn kind(&self) -> &str {
        match self {
            Self::Machine(_) => "stateMachine",
            Self::Execution(ExecutionName { express: Some(_), .. }) => "express",
            Self::Execution(_) => "execution",
            Self::Activity(_) => "activity",
            Self::MapRun(_) => "mapRun",
            Self::Other(kind) => kind,
        }
    }

    fn out_of_place(&self) -> ApiError {
        fault::invalid_arn(format_args!("Resource type not valid in this context: {}", self.kind()))
    }
}

/// The state machine, version or alias of `owner` that `text` names.
pub(crate) fn parse_machine(owner: &Owner, member: &str, text: &str) -> Result<MachineName, ApiError> {
    match parse(member, text)? {
        Resource::Machine(name) if arn(owner, &name) == text => Ok(name),
        Resource::Machine(_) => Err(fault::no_state_machine(text)),
        other => Err(other.out_of_place()),
    }
}

/// The execution of `owner` that `text` names and that a request may change: a
/// standard one, or a child of a map run, even if it is an Express one.
pub(crate) fn parse_execution(owner: &Owner, text: &str) -> Result<ExecutionName, ApiError> {
    let name = parse_any_execution(owner, text)?;
    match name.express.is_some() && !name.machine.contains('/') {
        true => Err(Resource::Execution(name).out_of_place()),
        false => Ok(name),
    }
}

/// The execution of `owner` that `text` names, to be read.
pub(crate) fn parse_any_execution(owner: &Owner, text: &str) -> Result<ExecutionName, ApiError> {
    match parse("executionArn", text)? {
        Resource::Execution(name) if arn(owner, &name) == text => Ok(name),
        Resource::Execution(_) => Err(fault::no_execution(text)),
        other => Err(other.out_of_place()),
    }
}

/// The activity of `owner` that `text` names.
pub(crate) fn parse_activity(owner: &Owner, text: &str) -> Result<String, ApiError> {
    match parse("activityArn", text)? {
        Resource::Activity(name) if activity_arn(owner, &name) == text => Ok(name),
        Resource::Activity(_) => Err(fault::no_activity(text)),
        other => Err(other.out_of_place()),
    }
}

/// Checks that `text` names a map run of `owner`.
pub(crate) fn check_map_run(owner: &Owner, text: &str) -> Result<(), ApiError> {
    match parse("mapRunArn", text)? {
        Resource::MapRun(name) if arn(owner, &name) == text => Ok(()),
        Resource::MapRun(_) => Err(fault::no_resource(text)),
        other => Err(other.out_of_place()),
    }
}

/// What `text` names, for the operations on tags, if it is `owner`'s.
pub(crate) fn parse_tagged(owner: &Owner, text: &str) -> Result<Resource, ApiError> {
    let resource = parse("resourceArn", text)?;
    let whole = match &resource {
        Resource::Machine(name) => arn(owner, name),
        Resource::Activity(name) => activity_arn(owner, name),
        Resource::Execution(_) | Resource::MapRun(_) | Resource::Other(_) => text.to_owned(),
    };
    if whole == text {
        Ok(resource)
    } else {
        Err(fault::no_resource(text))
    }
}

/// Checks the name of a new state machine, activity or execution: 1 to 80
/// characters, none of them white space, a bracket, a wildcard, one of
/// `" # % \ ^ | ~ $ & , ; : /` or a control character.
pub(crate) fn check(member: &str, name: &str) -> Result<(), ApiError> {
    limits::name_length(member, Some(name))?;
    let allowed = |character: char| !character.is_whitespace() && !character.is_control();
    let special = r#"<>{}[]?*"#;
    let reserved = "\"#%\\^|~`$&,;:/";
    if name
        .chars()
        .all(|character| allowed(character) && !special.contains(character) && !reserved.contains(character))
    {
        Ok(())
    } else {
        Err(fault::invalid_name(name))
    }
}

/// Checks the name of a new alias: letters, digits, `-`, `_` and `.`, not
/// only digits, so that it is never taken for a version.
pub(crate) fn check_alias(name: &str) -> Result<(), ApiError> {
    let matches = |text: &str| {
        text.chars()
            .all(|character| character.is_ascii_alphanumeric() || "-_.".contains(character))
            && !text.chars().all(|character| character.is_ascii_digit())
    };
    Constraints::new()
        .length("name", name, 1, limits::NAME_CHARS_MAX)
        .pattern("name", name, r"^(?=.*[a-zA-Z_\-\.])[a-zA-Z0-9_\-\.]+$", matches)
        .check()
}

/// Checks the ARN of a role.
pub(crate) fn check_role(text: &str) -> Result<(), ApiError> {
    Constraints::new()
        .length("roleArn", text, 1, limits::ARN_CHARS_MAX)
        .check()?;
    let role = text
        .parse::<Arn>()
        .ok()
        .filter(|arn| arn.service == "iam" && arn.strip("role").is_some());
    match role {
        Some(_) => Ok(()),
        None if text.starts_with("arn:") => Err(fault::invalid_arn(text)),
        None => Err(fault::invalid_arn(format_args!("Invalid ARN prefix: {text}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_are_read_and_written() {
        let owner = Owner::default();
        for resource in [
            "stateMachine:m",
            "stateMachine:m:3",
            "stateMachine:m:live",
            "execution:m:e",
            "express:m:e:i",
        ] {
            let text = format!("arn:aws:states:us-east-1:000000000000:{resource}");
            let again = match parse("arn", &text).unwrap() {
                Resource::Machine(name) => arn(&owner, &name),
                Resource::Execution(name) => arn(&owner, &name),
                other => panic!("{other:?}"),
            };
            assert_eq!(again, text);
        }
    }

    #[test]
    fn what_does_not_belong_is_refused() {
        let check = |text: &str, expect: &str| {
            assert_eq!(
                parse_machine(&Owner::default(), "stateMachineArn", text)
                    .unwrap_err()
                    .message,
                expect
            );
        };
        check("m", "Invalid Arn: 'Invalid ARN prefix: m'");
        check("arn:aws:s3:::b", "Invalid Arn: 'Invalid ARN prefix: arn:aws:s3:::b'");
        check(
            "arn:aws:states:r:0:execution:m:e",
            "Invalid Arn: 'Resource type not valid in this context: execution'",
        );
        check(
            "arn:aws:states:r:0:mapRun:m/l:e",
            "Invalid Arn: 'Resource type not valid in this context: mapRun'",
        );
        check(
            "arn:aws:states:r:0:stateMachine",
            "Invalid Arn: 'Invalid ARN: arn:aws:states:r:0:stateMachine'",
        );
        check("arn:aws:states", "Invalid Arn: 'Invalid ARN: arn:aws:states'");
        check(
            "arn:aws:states:us-east-1:999999999999:stateMachine:m",
            "State Machine Does Not Exist: 'arn:aws:states:us-east-1:999999999999:stateMachine:m'",
        );
    }

    #[test]
    fn names_are_checked() {
        for good in ["a", "A.b-c_9", "ünïcode", &"x".repeat(80)] {
            assert_eq!(check("name", good), Ok(()), "{good}");
        }
        for bad in [
            "a b", "a/b", "a:b", "a*", "a~", "a%", "a\u{7f}", "\0a", "a`b", "a\u{9f}",
        ] {
            assert_eq!(check("name", bad).unwrap_err().code, "InvalidName", "{bad}");
        }
        assert_eq!(check("name", "").unwrap_err().code, "ValidationException");
        assert_eq!(check("name", &"x".repeat(81)).unwrap_err().code, "ValidationException");
        assert!(check_alias("live.1").is_ok() && check_alias("12").is_err() && check_alias("a b").is_err());
        assert!(check_role("arn:aws:iam::0:role/x").is_ok());
        assert!(check_role("role").is_err() && check_role("arn:aws:iam::0:user/x").is_err());
    }
}
