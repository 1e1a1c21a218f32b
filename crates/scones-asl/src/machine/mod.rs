//! State machines: a definition that has been read, checked and compiled.

mod choice;
mod datasets;
mod diagnostic;
mod fields;
mod flow;
mod graph;
mod lone;
mod lookup;
mod map;
mod parameters;
mod parse;
mod resource;
mod retry;
mod schema;
mod state;
mod syntax;
mod validate;
mod variables;
mod warn;

use std::sync::Arc;

use serde_json::Value;

pub use diagnostic::{Code, Diagnostic, Severity};
pub use lookup::{ResultForm, StateSummary};
pub use parameters::ParameterProblem;
pub use resource::{Pattern, Resource};
pub(crate) use retry::{Catcher, Jitter, Retrier};

use crate::choice::Condition;
use crate::intrinsic::Expression;
use crate::json::{Positions, element};
use crate::map_run::{CsvHeaders, Delimiter, InputType, ManifestType, OutputType, Transformation};
use crate::path::Path;
use crate::template::Template;

/// The language of the expressions of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryLanguage {
    /// Paths, payload templates and intrinsic functions.
    JsonPath,
    /// JSONata expressions between `{%` and `%}`.
    Jsonata,
}

impl std::fmt::Display for QueryLanguage {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::JsonPath => "JSONPath",
            Self::Jsonata => "JSONata",
        })
    }
}

/// A definition that can run. Cheap to share behind an `Arc`.
#[derive(Debug)]
pub struct Machine {
    pub(crate) workflow: Arc<Workflow>,
    pub(crate) timeout_seconds: Option<u64>,
    comment: Option<String>,
    warnings: Vec<Diagnostic>,
    uses_jsonata: bool,
}

impl Machine {
    /// Reads, checks and compiles a definition.
    ///
    /// Cost: linear in the text, apart from the suggestions for misspelt names.
    ///
    /// # Errors
    /// Every problem found, errors first; at least one of them is an error.
    pub fn parse(definition: &str) -> Result<Self, Vec<Diagnostic>> {
        parse::parse(definition)
    }

    /// Reads a single state instead, and calls it `name`. What it leads to
    /// need not be there; no name of another state is checked.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), with locations below `/States/` and the name.
    pub fn parse_state(definition: &str, name: &str) -> Result<Self, Vec<Diagnostic>> {
        lone::parse(definition, name)
    }

    /// Every problem of a definition, errors before warnings. An Express
    /// machine has more of them: it runs neither `.sync` nor
    /// `.waitForTaskToken` tasks, nor activities.
    #[must_use]
    pub fn check(definition: &str, express: bool) -> Vec<Diagnostic> {
        match Self::parse(definition) {
            Err(problems) => problems,
            Ok(machine) => {
                let mut problems = if express {
                    machine.express_problems()
                } else {
                    Vec::new()
                };
                let positions = Positions::scan(definition);
                for problem in &mut problems {
                    problem.span = problem
                        .location
                        .as_deref()
                        .and_then(|place| positions.value_span(place));
                }
                problems.extend(machine.warnings);
                problems
            }
        }
    }

    /// The definition's own `Comment`.
    #[must_use]
    pub fn comment(&self) -> Option<&str> {
        self.comment.as_deref()
    }

    /// Whether a state's expressions are written in JSONata. A step of such a
    /// machine may compute for seconds; any other takes microseconds.
    #[must_use]
    pub fn uses_jsonata(&self) -> bool {
        self.uses_jsonata
    }

    /// What looks wrong but does not keep the machine from running.
    #[must_use]
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }

    /// The machine that the child executions of a distributed Map state run.
    #[must_use]
    pub fn item_processor(&self, state_name: &str) -> Option<Self> {
        let workflow = self.workflow.item_processor(state_name)?;
        Some(Self {
            uses_jsonata: workflow.uses_jsonata(),
            workflow,
            timeout_seconds: None,
            comment: None,
            warnings: Vec::new(),
        })
    }

    /// Every resource that a task of the machine names, nested states included,
    /// with the location of its field.
    #[must_use]
    pub fn resources(&self) -> Vec<(String, &Resource)> {
        let mut found = Vec::new();
        self.workflow.resources("", &mut found);
        found
    }

    /// Problems that only matter when the machine is an Express one: it runs
    /// neither `.sync` nor `.waitForTaskToken` tasks, nor activities.
    #[must_use]
    pub fn express_problems(&self) -> Vec<Diagnostic> {
        validate::express_problems(self)
    }
}

/// A set of states with a start: the machine itself, a branch, or an item processor.
#[derive(Debug)]
pub(crate) struct Workflow {
    pub(crate) start: usize,
    pub(crate) states: Vec<State>,
}

/// One state.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) name: String,
    pub(crate) language: QueryLanguage,
    pub(crate) kind: StateKind,
    pub(crate) input_path: Selection,
    pub(crate) output_path: Selection,
    pub(crate) assign: Option<Template>,
    /// `Output` of a JSONata state.
    pub(crate) output: Option<Template>,
}

/// What `InputPath` or `OutputPath` takes from a payload.
#[derive(Debug)]
pub(crate) enum Selection {
    Whole,
    /// `null`: an empty object.
    Nothing,
    Path(Path),
}

/// Where `ResultPath` puts a result.
#[derive(Debug)]
pub(crate) enum ResultPath {
    Replace,
    /// `null`: the input goes on unchanged.
    Discard,
    Insert(Path),
}

/// Where an execution goes after a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transition {
    Next(usize),
    End,
}

/// What a state does.
#[derive(Debug)]
pub(crate) enum StateKind {
    Pass {
        result: Option<Value>,
        parameters: Option<Template>,
        result_path: ResultPath,
        transition: Transition,
    },
    Task(Box<Task>),
    Choice {
        rules: Vec<Rule>,
        default: Option<usize>,
    },
    Wait {
        until: WaitUntil,
        transition: Transition,
    },
    Succeed,
    Fail {
        error: FailText,
        cause: FailText,
    },
    Parallel {
        branches: Vec<Arc<Workflow>>,
        parameters: Option<Template>,
        outcome: Outcome,
    },
    Map(Arc<Map>),
}

/// What a Task, Parallel or Map state does with its result or its failure.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) result_selector: Option<Template>,
    pub(crate) result_path: ResultPath,
    pub(crate) retry: Vec<Retrier>,
    pub(crate) catch: Vec<Catcher>,
    pub(crate) transition: Transition,
}

/// A Task state.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) resource: Resource,
    pub(crate) parameters: Option<Template>,
    pub(crate) credentials: Option<Template>,
    pub(crate) timeout: Option<WholeNumber>,
    pub(crate) heartbeat: Option<WholeNumber>,
    pub(crate) outcome: Outcome,
}

/// A Map state.
#[derive(Debug)]
pub(crate) struct Map {
    pub(crate) processor: Arc<Workflow>,
    pub(crate) items: Items,
    pub(crate) item_selector: Option<Template>,
    pub(crate) max_concurrency: Option<WholeNumber>,
    /// Absent for an inline map.
    pub(crate) distributed: Option<Box<Distributed>>,
    pub(crate) outcome: Outcome,
}

/// What only a distributed Map state has.
#[derive(Debug)]
pub(crate) struct Distributed {
    pub(crate) label: Option<String>,
    /// Its child executions are Express ones.
    pub(crate) express: bool,
    pub(crate) reader: Option<Reader>,
    pub(crate) batcher: Option<Batcher>,
    pub(crate) writer: Option<Writer>,
    pub(crate) tolerated_count: Option<WholeNumber>,
    pub(crate) tolerated_percentage: Option<Percentage>,
}

/// `ItemReader`.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) resource: Resource,
    pub(crate) parameters: Option<Template>,
    pub(crate) format: ReaderFormat,
}

/// `ReaderConfig`.
#[derive(Debug, Default)]
pub(crate) struct ReaderFormat {
    pub(crate) input_type: Option<InputType>,
    pub(crate) manifest_type: Option<ManifestType>,
    /// The items of the listed objects, not the objects.
    pub(crate) flatten: bool,
    pub(crate) headers: Option<CsvHeaders>,
    pub(crate) delimiter: Delimiter,
    pub(crate) max_items: Option<WholeNumber>,
    pub(crate) items_pointer: Option<String>,
}

/// `ItemBatcher`.
#[derive(Debug)]
pub(crate) struct Batcher {
    pub(crate) max_items: Option<WholeNumber>,
    pub(crate) max_bytes: Option<WholeNumber>,
    pub(crate) input: Option<Template>,
}

/// `ResultWriter`.
#[derive(Debug)]
pub(crate) struct Writer {
    /// Absent where the results only become the state's result.
    pub(crate) parameters: Option<Template>,
    pub(crate) transformation: Transformation,
    pub(crate) output_type: OutputType,
}

/// A share of 0 to 100, written out, read from a path, or evaluated.
#[derive(Debug)]
pub(crate) enum Percentage {
    Literal(f64),
    Path(Path),
    Template(Template),
}

/// Where a Map state takes its items from.
#[derive(Debug)]
pub(crate) enum Items {
    Input,
    Path(Path),
    Template(Template),
}

/// A whole number, written out, read from a path, or evaluated.
#[derive(Debug)]
pub(crate) enum WholeNumber {
    Literal(u64),
    Path(Path),
    Template(Template),
}

/// Until when a Wait state waits.
#[derive(Debug)]
pub(crate) enum WaitUntil {
    Seconds(u64),
    SecondsPath(Path),
    Timestamp(String),
    TimestampPath(Path),
    /// `Seconds` of a JSONata state.
    SecondsTemplate(Template),
    /// `Timestamp` of a JSONata state.
    TimestampTemplate(Template),
}

/// The error or cause of a Fail state.
#[derive(Debug)]
pub(crate) enum FailText {
    Absent,
    Literal(String),
    Expression(Expression),
    Template(Template),
}

/// One rule of a Choice state.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) condition: Condition,
    pub(crate) next: usize,
    pub(crate) assign: Option<Template>,
    /// `Output` of a JSONata rule.
    pub(crate) output: Option<Template>,
}

impl State {
    /// What becomes of a result or failure, for the states that can fail.
    pub(crate) fn outcome(&self) -> Option<&Outcome> {
        match &self.kind {
            StateKind::Task(task) => Some(&task.outcome),
            StateKind::Map(map) => Some(&map.outcome),
            StateKind::Parallel { outcome, .. } => Some(outcome),
            _ => None,
        }
    }
}

impl Workflow {
    fn uses_jsonata(&self) -> bool {
        self.states.iter().any(|state| {
            state.language == QueryLanguage::Jsonata
                || match &state.kind {
                    StateKind::Map(map) => map.processor.uses_jsonata(),
                    StateKind::Parallel { branches, .. } => branches.iter().any(|branch| branch.uses_jsonata()),
                    _ => false,
                }
        })
    }

    /// Where the distributed Map states are, at any depth.
    pub(crate) fn distributed_maps(&self, location: &str) -> Vec<String> {
        let mut found = Vec::new();
        for state in &self.states {
            let here = format!("{location}/States/{}", state.name);
            match &state.kind {
                StateKind::Map(map) => {
                    found.extend(map.distributed.is_some().then(|| here.clone()));
                    found.extend(map.processor.distributed_maps(&format!("{here}/ItemProcessor")));
                }
                StateKind::Parallel { branches, .. } => {
                    for (index, branch) in branches.iter().enumerate() {
                        found.extend(branch.distributed_maps(&format!("{here}/Branches/{index}")));
                    }
                }
                _ => {}
            }
        }
        found
    }

    /// The processor of the distributed Map state with that name, at any depth.
    fn item_processor(&self, state_name: &str) -> Option<Arc<Self>> {
        self.states.iter().find_map(|state| match &state.kind {
            StateKind::Map(map) if map.distributed.is_some() && state.name == state_name => {
                Some(Arc::clone(&map.processor))
            }
            StateKind::Map(map) => map.processor.item_processor(state_name),
            StateKind::Parallel { branches, .. } => {
                branches.iter().find_map(|branch| branch.item_processor(state_name))
            }
            _ => None,
        })
    }

    fn resources<'a>(&'a self, location: &str, found: &mut Vec<(String, &'a Resource)>) {
        for state in &self.states {
            let here = format!("{location}/States/{}", state.name);
            match &state.kind {
                StateKind::Task(task) => found.push((format!("{here}/Resource"), &task.resource)),
                StateKind::Map(map) => map.processor.resources(&format!("{here}/ItemProcessor"), found),
                StateKind::Parallel { branches, .. } => {
                    for (index, branch) in branches.iter().enumerate() {
                        branch.resources(&element(&format!("{here}/Branches"), index), found);
                    }
                }
                _ => {}
            }
        }
    }
}
