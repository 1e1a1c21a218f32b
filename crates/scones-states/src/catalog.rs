//! What is kept about state machines, versions, aliases and activities.
//!
//! Definitions are kept once each, under the SHA-256 of their text, so that a
//! revision, its versions and its executions share one, and an execution finds
//! its definition after its state machine was changed or deleted.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use scones_api::Timestamp;
use scones_asl::Machine;
use scones_store::{Collection, Expected, Store};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Error;

/// Definitions by hash.
const DEFINITIONS: &str = "states.definitions";
/// Bytes of definitions whose parsed form is kept in memory; that is a few
/// times as large.
const PARSED_BYTES_MAX: usize = 16 << 20;

/// Standard or Express.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum MachineType {
    #[default]
    Standard,
    Express,
}

/// A definition's hash, in hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct DefinitionId(String);

impl DefinitionId {
    fn of(definition: &str) -> Self {
        Self(hex::encode(Sha256::digest(definition)))
    }

    pub(crate) fn damaged(&self, problem: &str) -> Error {
        Error::Definition {
            id: self.0.clone(),
            problem: problem.to_owned(),
        }
    }
}

/// What decides how an execution runs; a version is a copy of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Revision {
    /// Absent for the revision that the state machine was created with.
    pub(crate) id: Option<String>,
    pub(crate) definition: DefinitionId,
    pub(crate) role_arn: String,
    pub(crate) logging: Logging,
    pub(crate) tracing: Tracing,
    /// When the revision was made.
    pub(crate) date: Timestamp,
}

/// A state machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StateMachine {
    pub(crate) name: String,
    pub(crate) machine_type: MachineType,
    pub(crate) created: Timestamp,
    pub(crate) revision: Revision,
    /// The number of the newest version, 0 before the first; never given twice.
    pub(crate) last_version: u64,
    pub(crate) tags: BTreeMap<String, String>,
}

/// A published version.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Version {
    pub(crate) number: u64,
    pub(crate) description: Option<String>,
    pub(crate) created: Timestamp,
    pub(crate) revision: Revision,
}

/// An alias: one or two versions with weights that add up to 100.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Alias {
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    /// Version numbers and their weights.
    pub(crate) routes: Vec<(u64, u8)>,
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
}

/// An activity.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Activity {
    pub(crate) name: String,
    pub(crate) created: Timestamp,
    pub(crate) tags: BTreeMap<String, String>,
}

/// Which events are logged, and where to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Logging {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) destinations: Option<Vec<LogDestination>>,
    #[serde(default)]
    pub(crate) include_execution_data: bool,
    #[serde(default = "Logging::off")]
    pub(crate) level: String,
}

impl Logging {
    fn off() -> String {
        "OFF".to_owned()
    }
}

impl Default for Logging {
    fn default() -> Self {
        Self {
            destinations: None,
            include_execution_data: false,
            level: Self::off(),
        }
    }
}

/// A place for logs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LogDestination {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cloud_watch_logs_log_group: Option<LogGroup>,
}

/// A log group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LogGroup {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) log_group_arn: Option<String>,
}

/// X-Ray tracing: kept and shown, never done.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tracing {
    #[serde(default)]
    pub(crate) enabled: bool,
}

/// A definition that can run, with its text.
#[derive(Debug)]
pub(crate) struct Definition {
    pub(crate) id: DefinitionId,
    pub(crate) text: String,
    pub(crate) machine: Arc<Machine>,
}

/// The tables. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Catalog {
    store: Arc<dyn Store>,
    /// By name.
    pub(crate) machines: Collection<StateMachine>,
    /// By `machine/number`, the number with ten digits.
    pub(crate) versions: Collection<Version>,
    /// By `machine/name`.
    pub(crate) aliases: Collection<Alias>,
    /// By name.
    pub(crate) activities: Collection<Activity>,
    parsed: Arc<Mutex<Parsed>>,
}

/// Definitions in memory.
#[derive(Default)]
struct Parsed {
    by_id: HashMap<DefinitionId, Arc<Definition>>,
    /// The lengths of their texts.
    bytes: usize,
}

/// The key of a version.
pub(crate) fn version_key(machine: &str, number: u64) -> String {
    format!("{machine}/{number:010}")
}

/// The key of an alias.
pub(crate) fn alias_key(machine: &str, alias: &str) -> String {
    format!("{machine}/{alias}")
}

impl Catalog {
    pub(crate) fn new(store: &Arc<dyn Store>) -> Self {
        Self {
            store: Arc::clone(store),
            machines: Collection::new(Arc::clone(store), "states.machines"),
            versions: Collection::new(Arc::clone(store), "states.versions"),
            aliases: Collection::new(Arc::clone(store), "states.aliases"),
            activities: Collection::new(Arc::clone(store), "states.activities"),
            parsed: Arc::default(),
        }
    }

    /// Keeps a definition that has been parsed.
    pub(crate) async fn keep_definition(&self, text: &str, machine: Machine) -> Result<Arc<Definition>, Error> {
        let id = DefinitionId::of(text);
        self.store
            .put(
                DEFINITIONS,
                &id.0,
                Bytes::copy_from_slice(text.as_bytes()),
                Expected::Anything,
            )
            .await?;
        Ok(self.remember(Definition {
            id,
            text: text.to_owned(),
            machine: Arc::new(machine),
        }))
    }

    /// A definition that was kept.
    pub(crate) async fn definition(&self, id: &DefinitionId) -> Result<Arc<Definition>, Error> {
        if let Some(found) = self.lock().by_id.get(id) {
            return Ok(Arc::clone(found));
        }
        let damaged = |problem: &str| id.damaged(problem);
        let record = self
            .store
            .get(DEFINITIONS, &id.0)
            .await?
            .ok_or_else(|| damaged("is not in the store"))?;
        let text = String::from_utf8(record.value.to_vec()).map_err(|_| damaged("is not text"))?;
        let machine = Machine::parse(&text).map_err(|problems| {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            damaged(&format!("is not valid any more: {}", problems.join("; ")))
        })?;
        Ok(self.remember(Definition {
            id: id.clone(),
            text,
            machine: Arc::new(machine),
        }))
    }

    fn remember(&self, definition: Definition) -> Arc<Definition> {
        let mut parsed = self.lock();
        if parsed.bytes >= PARSED_BYTES_MAX {
            *parsed = Parsed::default();
        }
        let definition = Arc::new(definition);
        parsed.bytes += definition.text.len();
        let before = parsed.by_id.insert(definition.id.clone(), Arc::clone(&definition));
        parsed.bytes -= before.map_or(0, |before| before.text.len());
        definition
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Parsed> {
        self.parsed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
