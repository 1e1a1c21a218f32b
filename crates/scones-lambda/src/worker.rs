//! A worker: one process that runs one version of one function, one
//! invocation at a time.

use std::{
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader},
    process::{Child, ChildStderr, ChildStdout},
};

use crate::{
    limits::LOG_LINE_BYTES_MAX,
    log::WorkerLog,
    memory,
    runtime_api::{Answer, Assignment, Event, RuntimeApi},
    scratch::Scratch,
    unpacked::CodeFolder,
};

/// How often a busy worker's memory is looked at.
const MEMORY_INTERVAL: Duration = Duration::from_millis(100);

/// The most that a pipe holds unless a process asks for more, on Linux
/// (<https://man7.org/linux/man-pages/man7/pipe.7.html>), and what was read of
/// it ahead, in bytes.
const PIPE_BYTES_MAX: usize = 65_536 + 8192;

/// What ended an invocation or an initialisation before its answer.
#[derive(Debug)]
pub enum Failure {
    /// The process ended.
    Exited(Option<ExitStatus>),
    /// The time was up.
    TimedOut,
    /// It held more memory than the function has, in MB.
    OutOfMemory(u64),
    /// The runtime says why it could not initialise, as JSON.
    Init(bytes::Bytes),
    /// The process ended before it took the invocation: another may have it.
    Untouched,
    /// The server is stopping.
    Stopped,
}

/// A process with its port, its log and its temporary folder. Dropping it
/// kills the process group and deletes the folder.
pub struct Worker {
    child: Child,
    group: Option<u32>,
    stdout: Lines<ChildStdout>,
    stderr: Lines<ChildStderr>,
    api: RuntimeApi,
    /// Where its lines go.
    pub log: WorkerLog,
    memory_mb: u64,
    memory_peak_mb: u64,
    scratch: Scratch,
    _code: CodeFolder,
}

impl Worker {
    /// Starts `command`, whose port is `api`'s, in a process group of its own.
    /// The worker keeps its folders as long as it lives.
    ///
    /// # Errors
    /// The system's, for a program that is missing or cannot be run.
    pub fn start(
        mut command: std::process::Command,
        api: RuntimeApi,
        log: WorkerLog,
        memory_mb: u64,
        (scratch, code): (Scratch, CodeFolder),
    ) -> std::io::Result<Self> {
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = tokio::process::Command::from(command)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let pipes = child.stdout.take().zip(child.stderr.take());
        let (stdout, stderr) = pipes.ok_or_else(|| std::io::Error::other("the worker has no pipes"))?;
        Ok(Self {
            group: child.id(),
            child,
            stdout: Lines::new(stdout),
            stderr: Lines::new(stderr),
            api,
            log,
            memory_mb,
            memory_peak_mb: 0,
            scratch,
            _code: code,
        })
    }

    /// Waits until the process asks for its first invocation.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn initialise(&mut self, limit: Duration) -> Result<Duration, Failure> {
        let begin = Instant::now();
        let wait = async {
            loop {
                match self.step().await? {
                    Event::Ready => return Ok(begin.elapsed()),
                    Event::InitFailed(body) => return Err(Failure::Init(body)),
                    Event::Taken | Event::Answered(_) => {}
                }
            }
        };
        let end = tokio::time::timeout(limit, wait)
            .await
            .unwrap_or(Err(Failure::TimedOut));
        if end.is_err() {
            self.end().await;
        }
        end
    }

    /// Gives the process an invocation and waits for the answer.
    ///
    /// # Errors
    /// [`Failure`]; the worker is of no more use then.
    pub async fn invoke(&mut self, assignment: Assignment, limit: Duration) -> Result<Answer, Failure> {
        if !self.api.assign(assignment) {
            return Err(Failure::Untouched);
        }
        let mut taken = false;
        let wait = async {
            loop {
                match self.step().await {
                    Ok(Event::Answered(answer)) => return Ok(answer),
                    Ok(Event::Taken) => taken = true,
                    Ok(Event::Ready | Event::InitFailed(_)) => {}
                    Err(Failure::Exited(_)) if !taken => return Err(Failure::Untouched),
                    Err(failure) => return Err(failure),
                }
            }
        };
        let end = tokio::time::timeout(limit, wait)
            .await
            .unwrap_or(Err(Failure::TimedOut));
        match end {
            Ok(_) => self.drain().await,
            Err(_) => self.end().await,
        }
        end
    }

    /// Whether the process still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Whether the process sees a folder of its own as `/tmp`.
    pub async fn has_own_tmp(&self) -> bool {
        match self.child.id() {
            Some(process) => self.scratch.is_tmp_of(process).await,
            None => false,
        }
    }

    /// The most memory that the process has held, in MB; of one that has ended,
    /// the most that was seen.
    pub fn memory_peak_mb(&self) -> u64 {
        self.child.id().and_then(memory::peak_mb).unwrap_or(self.memory_peak_mb)
    }

    /// Kills the process group, waits until the process and its folder are
    /// gone, and logs what it wrote last.
    pub async fn stop(mut self) {
        self.end().await;
        self.scratch.delete().await;
    }

    /// Waits for the next event while it reads the log, as far as there is room
    /// for it, and watches the process. What is seldom comes first, so that a process that writes
    /// without pause is still answered and watched. What it wrote before the
    /// event is in the log by then: the system tells of a pipe before it tells
    /// of a request that came after.
    async fn step(&mut self) -> Result<Event, Failure> {
        let mut watch = tokio::time::interval(MEMORY_INTERVAL);
        watch.reset();
        loop {
            tokio::select! {
                biased;
                _ = watch.tick() => {
                    let held = self.child.id().and_then(memory::current_mb).unwrap_or(0);
                    self.memory_peak_mb = self.memory_peak_mb.max(held);
                    if held > self.memory_mb {
                        self.kill();
                        return Err(Failure::OutOfMemory(held));
                    }
                }
                Some(event) = self.api.event() => {
                    self.read_waiting().await;
                    return Ok(event);
                }
                status = self.child.wait() => {
                    self.kill();
                    self.drain().await;
                    return Err(Failure::Exited(status.ok()));
                }
                () = next_line(&mut self.stdout, &mut self.stderr, &mut self.log) => {}
            }
        }
    }

    /// Reads the lines that are there, waiting for none and for no room.
    async fn read_waiting(&mut self) {
        let read = async {
            self.stdout.read_waiting(&mut self.log).await;
            self.stderr.read_waiting(&mut self.log).await;
        };
        // A task that has done much already would be told that nothing is there.
        tokio::task::unconstrained(read).await;
    }

    /// Kills the process group, waits until the process is gone, and logs what
    /// it wrote last. If it were read first, a process that its pipe holds up
    /// would go on writing.
    async fn end(&mut self) {
        self.memory_peak_mb = self.memory_peak_mb();
        self.kill();
        if let Err(error) = self.child.wait().await {
            tracing::warn!(%error, "a worker could not be waited for");
        }
        self.drain().await;
    }

    /// Reads what is there, even a line without an end.
    async fn drain(&mut self) {
        self.read_waiting().await;
        for rest in [self.stdout.take_rest(), self.stderr.take_rest()] {
            if !rest.is_empty() {
                self.log.raw_line(&rest);
            }
        }
    }

    fn kill(&mut self) {
        if let Some(group) = self.group.take() {
            kill_group(group);
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Kills a process group. Its leader may be gone already; those that it
/// started may not.
#[cfg(unix)]
fn kill_group(group: u32) {
    use rustix::process::{Pid, Signal, kill_process_group};
    let Some(group) = i32::try_from(group).ok().and_then(Pid::from_raw) else {
        return;
    };
    match kill_process_group(group, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => tracing::warn!(%error, "a worker's process group could not be killed"),
    }
}

/// Elsewhere the process is killed when its handle is dropped.
#[cfg(not(unix))]
fn kill_group(_: u32) {}

/// Logs the next line of either pipe when there is room for it.
async fn next_line(stdout: &mut Lines<ChildStdout>, stderr: &mut Lines<ChildStderr>, log: &mut WorkerLog) {
    log.room().await;
    tokio::select! {
        line = stdout.next() => log.raw_line(line),
        line = stderr.next() => log.raw_line(line),
    }
}

/// Lines from a pipe, at most [`LOG_LINE_BYTES_MAX`] each. After the end it
/// waits for ever. Safe to drop while it waits.
struct Lines<R> {
    reader: Option<BufReader<R>>,
    line: Vec<u8>,
    complete: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    fn new(pipe: R) -> Self {
        Self {
            reader: Some(BufReader::new(pipe)),
            line: Vec::new(),
            complete: false,
        }
    }

    /// The next line with its end.
    async fn next(&mut self) -> &[u8] {
        if std::mem::take(&mut self.complete) {
            self.line.clear();
        }
        loop {
            let Some(reader) = &mut self.reader else {
                return std::future::pending().await;
            };
            let left = LOG_LINE_BYTES_MAX.saturating_sub(self.line.len());
            let read = reader.take(left as u64).read_until(b'\n', &mut self.line).await;
            let whole = self.line.ends_with(b"\n") || self.line.len() >= LOG_LINE_BYTES_MAX;
            if !whole && read.unwrap_or(0) == 0 {
                self.reader = None;
                if self.line.is_empty() {
                    continue;
                }
            } else if !whole {
                continue;
            }
            self.complete = true;
            return &self.line;
        }
    }

    /// Logs the lines that are there, waiting for none; as many as a pipe can
    /// hold, so that what is written meanwhile does not keep it for ever.
    async fn read_waiting(&mut self, log: &mut WorkerLog) {
        let mut read = 0;
        while read <= PIPE_BYTES_MAX {
            tokio::select! {
                biased;
                line = self.next() => {
                    read += line.len();
                    log.raw_line(line);
                }
                () = std::future::ready(()) => return,
            }
        }
    }

    /// The beginning of a line that has no end yet.
    fn take_rest(&mut self) -> Vec<u8> {
        if std::mem::take(&mut self.complete) {
            self.line.clear();
        }
        std::mem::take(&mut self.line)
    }
}
