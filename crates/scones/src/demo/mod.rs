//! The story of Scones Unlimited, told by a client of the server's own wire
//! protocols: whatever it shows, an AWS client could have done.

mod aws_cli;
mod capture;
mod endpoint;
mod functions;
mod images;
mod section;
mod training;
mod workflow;

use anyhow::Context as _;
use serde::Serialize;
use serde_json::Value;

use self::{
    capture::CaptureSection, endpoint::EndpointSection, functions::FunctionsSection, images::ImagesSection,
    section::Section, training::TrainingSection, workflow::WorkflowSection,
};
use crate::{client::Client, source::Source, terminal};

/// The name of everything that the story makes: its bucket, endpoint, state
/// machine and training jobs.
const NAME: &str = "scones-unlimited";

/// The role that the story's resources name.
fn role(account: &str) -> String {
    format!("arn:aws:iam::{account}:role/service-role/AmazonSageMaker-ExecutionRole")
}

/// The text at a place in an answer.
fn text(answer: &Value, place: &str) -> anyhow::Result<String> {
    let text = answer.pointer(place).and_then(Value::as_str);
    Ok(text
        .with_context(|| format!("the answer has no text at {place}"))?
        .to_owned())
}

/// Who tells the story to whom.
pub(crate) struct Stage<'a> {
    /// The server's client.
    pub(crate) client: &'a Client,
    /// The account in every ARN.
    pub(crate) account: &'a str,
    /// The region in every ARN.
    pub(crate) region: &'a str,
    /// The command that writes the story's images to a folder, without `--output`.
    pub(crate) import: String,
    /// A name that nothing has yet, for the AWS CLI's lines of the same.
    pub(crate) fresh: String,
    /// Print each step as it ends.
    pub(crate) aloud: bool,
}

/// What happened, as `--json` prints it.
#[derive(Debug, Serialize)]
pub(crate) struct Story {
    images: ImagesSection,
    training: TrainingSection,
    endpoint: EndpointSection,
    functions: FunctionsSection,
    workflow: WorkflowSection,
    capture: CaptureSection,
}

impl Stage<'_> {
    /// Tells the whole story. Everything it makes stays on the server; a second
    /// telling trains anew and updates what is there.
    pub(crate) fn tell(&self, source: &Source) -> anyhow::Result<Story> {
        let images = self.show(1, images::stage(self, source)?);
        let training = self.show(2, training::train(self, &images)?);
        let endpoint = self.show(3, endpoint::deploy(self, &images, &training)?);
        let functions = self.show(4, functions::create(self, &images)?);
        let captured_before = capture::files(self)?;
        let workflow = self.show(5, workflow::run(self, source, &functions)?);
        let capture = self.show(6, capture::summarise(self, &captured_before, &workflow)?);
        Ok(Story {
            images,
            training,
            endpoint,
            functions,
            workflow,
            capture,
        })
    }

    fn show<S: Section>(&self, number: usize, section: S) -> S {
        if self.aloud {
            terminal::print(format_args!("\n{}", section::text(number, &section)));
        }
        section
    }
}
