//! The processes that are measured, and what is said to them.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context as _, bail, ensure};

/// A process that times its calls when asked.
pub(super) struct Contender {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Contender {
    pub(super) fn start(command: &mut Command) -> anyhow::Result<Self> {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().context("cannot start a contender")?;
        let (Some(input), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
            bail!("a contender without pipes");
        };
        let mut contender = Self {
            process,
            input,
            output: BufReader::new(output),
        };
        let line = contender.line()?;
        ensure!(line == "ready", "a contender said {line:?} instead of being ready");
        Ok(contender)
    }

    /// Calls for so many seconds; gives its figure, the median seconds of a call.
    pub(super) fn ask(&mut self, seconds: f64) -> anyhow::Result<f64> {
        writeln!(self.input, "run {seconds}")?;
        let line = self.line()?;
        line.parse().with_context(|| format!("a contender said {line:?}"))
    }

    /// Ends the process; the most memory it held, bytes.
    pub(super) fn memory(self) -> anyhow::Result<f64> {
        let Self {
            mut process,
            input,
            mut output,
        } = self;
        drop(input);
        let mut line = String::new();
        output.read_line(&mut line)?;
        ensure!(process.wait()?.success(), "a contender failed");
        let bytes = line
            .trim()
            .strip_prefix("memory ")
            .context("a contender hid its memory")?;
        Ok(bytes.parse()?)
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        ensure!(!line.is_empty(), "a contender ended early");
        Ok(line.trim().to_owned())
    }
}
