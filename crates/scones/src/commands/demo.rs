//! `scones demo`: a server, and the story told through it.

use std::{process::ExitCode, time::Instant};

use chrono::Utc;

use crate::{
    cli::DemoArgs,
    client::Client,
    commands::up::Stopped,
    config,
    demo::{Stage, Story},
    server::Instance,
    source, terminal,
};

/// The exit code of a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

pub(crate) fn run(arguments: &DemoArgs) -> anyhow::Result<ExitCode> {
    super::log_to_stderr();
    super::runtime()?.block_on(tell(arguments))
}

async fn tell(arguments: &DemoArgs) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    source::check_name(arguments.dataset.as_deref())?;
    let mut stopped = Stopped::new()?;
    let instance = tokio::select! {
        started = Instance::start(&arguments.server) => started?,
        () = stopped.wait() => return Ok(ExitCode::from(INTERRUPTED)),
    };
    let client = Client::new(&instance.endpoint, &instance.key, instance.owner.region.as_str());
    let telling = Telling {
        client,
        dataset: arguments.dataset.clone(),
        cache: arguments.server.data.downloads()?,
        data_option: arguments.server.data.option(),
        account: instance.owner.account.to_string(),
        region: instance.owner.region.to_string(),
        aloud: !arguments.json,
    };
    // The story is told by blocking calls; when it is interrupted, its thread
    // ends with the process, after the server has stopped its children.
    let (sender, told) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        // Nobody listens any more if the demo was interrupted.
        let _ = sender.send(telling.tell());
    });
    let outcome = tokio::select! {
        told = told => Some(told.unwrap_or_else(|_| Err(anyhow::anyhow!("the demo panicked")))),
        () = stopped.wait() => None,
    };
    if outcome.is_none() {
        terminal::say("stopping");
    }
    let endpoint = instance.endpoint.clone();
    instance.stop().await;
    match outcome {
        None => Ok(ExitCode::from(INTERRUPTED)),
        Some(story) => {
            let story = story?;
            if arguments.json {
                terminal::print(serde_json::to_string_pretty(&story)?);
            } else {
                let seconds = began.elapsed().as_secs_f64();
                terminal::print(format_args!("\nAll of it took {seconds:.0} s."));
                terminal::print(how_to_go_on(arguments, &endpoint)?);
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// What the telling thread needs.
struct Telling {
    client: Client,
    dataset: Option<String>,
    cache: std::path::PathBuf,
    data_option: String,
    account: String,
    region: String,
    aloud: bool,
}

impl Telling {
    fn tell(&self) -> anyhow::Result<Story> {
        let classes = source::CLASSES.map(str::to_owned);
        let source = source::load(self.dataset.as_deref(), &self.cache, &classes)?;
        let stage = Stage {
            client: &self.client,
            account: &self.account,
            region: &self.region,
            import: format!(
                "{} data import {}{}",
                terminal::program(),
                source.argument,
                self.data_option
            ),
            fresh: Utc::now().format("my-%Y%m%d-%H%M%S").to_string(),
            aloud: self.aloud,
        };
        stage.tell(&source)
    }
}

fn how_to_go_on(arguments: &DemoArgs, endpoint: &str) -> anyhow::Result<String> {
    let server = &arguments.server;
    let data = server.data.option();
    let listen = if endpoint == config::endpoint(config::DEFAULT_LISTEN) {
        String::new()
    } else {
        format!(" --listen {}", server.listen)
    };
    let program = terminal::program();
    Ok(format!(
        "Everything above is kept in {}. To go on:\n  \
         {program} up{data}{listen}\n  \
         eval \"$({program} env{data})\"      (in another terminal)\n  \
         aws stepfunctions list-state-machines\n\
         The lines above that begin with $ run there, too, in the root of the repository.\n\
         examples/scones-unlimited has the functions, the state machine and a client script to start from.",
        server.data.directory()?.display()
    ))
}
