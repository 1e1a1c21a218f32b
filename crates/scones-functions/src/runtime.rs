//! The Lambda Runtime API, from the function's side.

use std::{env, io::Write as _};

use serde_json::{Value, json};
use ureq::Agent;

use crate::{Error, Failure, NAMES, Services, Settings, handle};

/// The most that an event has, in bytes (6 MB).
const EVENT_BYTES_MAX: u64 = 6_291_456;

/// Serves the invocations of the function `name` until the server ends the
/// process. Blocks; it is the whole of a program.
///
/// # Errors
/// [`Error`]; one that concerns the function's configuration is reported to
/// the Runtime API first.
pub fn run(name: &str, services: &dyn Services) -> Result<(), Error> {
    let api = env::var("AWS_LAMBDA_RUNTIME_API").map_err(|_| Error::NotInLambda("AWS_LAMBDA_RUNTIME_API"))?;
    let base = format!("http://{api}/2018-06-01/runtime");
    // The server holds `next` until there is something to do.
    let agent: Agent = Agent::config_builder().proxy(None).build().into();
    let settings = match prepare(name) {
        Ok(settings) => settings,
        Err(error) => {
            let body = Failure::new("Runtime.InvalidConfiguration", error.to_string()).body("");
            agent.post(format!("{base}/init/error")).send(body.to_string())?;
            return Err(error);
        }
    };
    loop {
        let mut invocation = agent.get(format!("{base}/invocation/next")).call()?;
        let id = invocation.headers().get("lambda-runtime-aws-request-id");
        let id = id.and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned();
        let event = invocation
            .body_mut()
            .with_config()
            .limit(EVENT_BYTES_MAX)
            .read_to_vec()?;
        let answer = match serde_json::from_slice::<Value>(&event) {
            Ok(event) => handle(name, &event, &settings, services),
            Err(error) => Err(Failure::new("Runtime.UnmarshalError", error.to_string())),
        };
        let (path, body) = match &answer {
            Ok(result) => ("response", result.clone()),
            Err(failure) => ("error", failure.body(&id)),
        };
        if let Err(failure) = &answer {
            log(
                &json!({ "level": "ERROR", "requestId": id, "errorType": failure.kind, "errorMessage": failure.message }),
            );
        }
        agent
            .post(format!("{base}/invocation/{id}/{path}"))
            .content_type("application/json")
            .send(body.to_string())?;
    }
}

fn prepare(name: &str) -> Result<Settings, Error> {
    if !NAMES.contains(&name) {
        return Err(Error::Name(name.to_owned()));
    }
    Settings::from_environment()
}

/// Writes a line to the function's log, which is standard error.
fn log(line: &Value) {
    // A log that cannot be written must not fail the invocation.
    let _unheard = writeln!(std::io::stderr(), "{line}");
}
