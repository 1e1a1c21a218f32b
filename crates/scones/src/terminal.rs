//! Progress on stderr: bars on a terminal, plain lines elsewhere.

use std::{
    borrow::Cow,
    io::{self, IsTerminal as _, Write as _},
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Whether a person watches stderr.
pub(crate) fn is_interactive() -> bool {
    io::stderr().is_terminal()
}

/// One line on stderr. Where nobody reads it any more, the work goes on.
pub(crate) fn say(line: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Whether a result was lost on its way to stdout.
static HAS_LOST: AtomicBool = AtomicBool::new(false);

/// One line on stdout. A reader that has seen enough is no failure; a full disk is one, of which
/// [`has_lost`] tells at the end.
pub(crate) fn print(line: impl std::fmt::Display) {
    match writeln!(io::stdout(), "{line}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            say(format_args!("error: cannot write to stdout: {error}"));
            HAS_LOST.store(true, Ordering::Relaxed);
        }
        _ => {}
    }
}

/// Whether [`print()`] could not write.
pub(crate) fn has_lost() -> bool {
    HAS_LOST.load(Ordering::Relaxed)
}

/// A word as a shell takes it.
pub(crate) fn quoted(word: &str) -> String {
    // Only a NUL cannot be quoted, and no argument or path has one.
    shlex::try_quote(word).unwrap_or(Cow::Borrowed(word)).into_owned()
}

/// This program as a person types it in any terminal: the name by which the shell found it, else its path.
pub(crate) fn program() -> String {
    let typed = std::env::args_os()
        .next()
        .map_or_else(|| "scones".into(), PathBuf::from);
    let is_name = typed.parent().is_none_or(|folder| folder.as_os_str().is_empty());
    let path = if is_name {
        None
    } else {
        std::path::absolute(&typed).ok()
    };
    quoted(&path.unwrap_or(typed).to_string_lossy())
}

/// A number of things: `1 file`, `2 files`.
pub(crate) fn counted(count: usize, thing: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {thing}{plural}")
}

/// A bar over `total` units of `what` (`bytes` are shown as sizes). Without a
/// terminal it says once what is being done.
pub(crate) fn bar(total: u64, what: &str, message: &str) -> ProgressBar {
    if !is_interactive() {
        say(format_args!("{message} ({total} {what})"));
        return ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
    }
    let counts = if what == "bytes" {
        "{bytes}/{total_bytes} {bytes_per_sec}"
    } else {
        "{pos}/{len}"
    };
    let template = format!("  {{msg}} {{wide_bar:.cyan/dim}} {counts} {{eta}}");
    let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(total)
        .with_style(style)
        .with_message(message.to_owned())
}

/// A spinner beside `message`, for what has no known length.
pub(crate) fn spinner(message: &str) -> ProgressBar {
    if !is_interactive() {
        say(message);
        return ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    }
    let style = ProgressStyle::with_template("  {spinner:.cyan} {msg} {elapsed:.dim}");
    let spinner = ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner.with_message(message.to_owned())
}
