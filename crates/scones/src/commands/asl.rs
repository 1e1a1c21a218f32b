//! `scones asl check`: definitions with each problem shown in its place.

use std::{
    fs,
    io::{self, IsTerminal as _, Read as _},
    path::Path,
    process::ExitCode,
};

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use anyhow::Context as _;
use scones_asl::{Diagnostic, Machine, Severity};
use serde_json::{Value, json};

use crate::{
    cli::{AslCheckArgs, MachineType},
    terminal,
};

/// The column at which long source lines are cut where there is no terminal.
const WIDTH: usize = 120;

pub(crate) fn check(arguments: &AslCheckArgs) -> anyhow::Result<ExitCode> {
    let express = arguments.machine_type == MachineType::Express;
    let (mut failed, mut documents) = (false, Vec::new());
    for file in &arguments.files {
        let (name, source) = read(file)?;
        let problems = Machine::check(&source, express);
        failed |= problems.iter().any(|problem| problem.severity == Severity::Error);
        if arguments.json {
            documents.push(document(&name, &problems));
        } else {
            for problem in &problems {
                terminal::print(renderer().render(&report(problem, &source, &name)));
                terminal::print("");
            }
            terminal::print(format_args!("{name}: {}", summary(&problems)));
        }
    }
    if arguments.json {
        terminal::print(serde_json::to_string_pretty(&json!({"files": documents}))?);
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The name to show and the text of a definition.
fn read(file: &Path) -> anyhow::Result<(String, String)> {
    if file == Path::new("-") {
        let mut source = String::new();
        io::stdin().read_to_string(&mut source).context("cannot read stdin")?;
        return Ok(("stdin".to_owned(), source));
    }
    let name = file.display().to_string();
    let source = fs::read_to_string(file).with_context(|| format!("cannot read {name}"))?;
    Ok((name, source))
}

/// Colours are for terminals whose user wants them.
fn renderer() -> Renderer {
    if io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        Renderer::styled()
    } else {
        Renderer::plain().term_width(WIDTH)
    }
}

/// The problem as a compiler shows it.
fn report<'a>(problem: &'a Diagnostic, source: &'a str, name: &'a str) -> Vec<annotate_snippets::Group<'a>> {
    let level = match problem.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    // The rest of a syntax error's message repeats the place and the text.
    let message = problem.message.lines().next().unwrap_or_default();
    let title = level.primary_title(message).id(problem.code.as_str());
    let mut group = match problem.span {
        Some(span) => {
            // Of a value of several lines the first one is underlined.
            let end = source[span.start..span.end]
                .find('\n')
                .map_or(span.end, |line| span.start + line);
            let annotation = AnnotationKind::Primary.span(span.start..end);
            title.element(Snippet::source(source).path(name).annotation(annotation))
        }
        None => title.elements(None::<annotate_snippets::Element<'_>>),
    };
    if let Some(hint) = &problem.hint {
        group = group.element(Level::HELP.message(hint.as_str()));
    }
    vec![group]
}

fn summary(problems: &[Diagnostic]) -> String {
    let count = |severity: Severity, one: &str| {
        let count = problems.iter().filter(|problem| problem.severity == severity).count();
        (count > 0).then(|| format!("{count} {one}{}", if count == 1 { "" } else { "s" }))
    };
    let counts: Vec<String> = [count(Severity::Error, "error"), count(Severity::Warning, "warning")]
        .into_iter()
        .flatten()
        .collect();
    if counts.is_empty() {
        "no problems".to_owned()
    } else {
        counts.join(", ")
    }
}

/// As ValidateStateMachineDefinition answers, and where in the text it is.
fn document(name: &str, problems: &[Diagnostic]) -> Value {
    let failed = problems.iter().any(|problem| problem.severity == Severity::Error);
    let diagnostics: Vec<Value> = problems
        .iter()
        .map(|problem| {
            let span = problem.span;
            json!({
                "severity": problem.severity.as_str(), "code": problem.code.as_str(), "message": problem.message,
                "location": problem.location, "hint": problem.hint,
                "line": span.map(|span| span.line), "column": span.map(|span| span.column),
                "endLine": span.map(|span| span.end_line), "endColumn": span.map(|span| span.end_column),
            })
        })
        .collect();
    json!({"file": name, "result": if failed { "FAIL" } else { "OK" }, "diagnostics": diagnostics})
}
