//! `scones env`: what to export so that AWS clients find the server.

use std::process::ExitCode;

use anyhow::anyhow;
use serde_json::{Map, Value};

use crate::{cli::EnvArgs, config, credentials, failure::WithHint as _, server, terminal};

pub(crate) fn run(arguments: &EnvArgs) -> anyhow::Result<ExitCode> {
    let directory = arguments.data.directory()?;
    let option = arguments.data.option();
    let start = format!("start one with `{} up{option}`", terminal::program());
    let Some(key) = credentials::load(&directory)? else {
        return Err(anyhow!(
            "there is no key in {}: no server has been started on it",
            directory.display()
        ))
        .hint(format!("{start}, in another terminal"));
    };
    let running = server::find_running(&directory)?;
    if running.is_none() {
        terminal::say(format_args!("no server runs on {}; {start}", directory.display()));
    }
    let endpoint = running.map_or_else(|| config::endpoint(config::DEFAULT_LISTEN), |running| running.endpoint);
    let owner = config::kept_owner(&directory)?.unwrap_or_default();
    let variables = [
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_ACCESS_KEY_ID", key.id),
        ("AWS_SECRET_ACCESS_KEY", key.secret),
        ("AWS_REGION", owner.region.to_string()),
        ("AWS_DEFAULT_REGION", owner.region.to_string()),
        // Clients put `sync-` before the host of two Step Functions operations; no such host exists here.
        ("AWS_DISABLE_HOST_PREFIX_INJECTION", "true".to_owned()),
    ];
    if arguments.json {
        let object: Map<String, Value> = variables
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect();
        terminal::print(serde_json::to_string_pretty(&object)?);
    } else {
        for (name, value) in variables {
            terminal::print(format_args!("export {name}='{value}'"));
        }
        // A token of another account would be sent along and refused.
        terminal::print("unset AWS_SESSION_TOKEN AWS_PROFILE");
    }
    Ok(ExitCode::SUCCESS)
}
