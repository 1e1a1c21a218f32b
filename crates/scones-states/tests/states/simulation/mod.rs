//! Many executions on servers that fail, wait and die as a seed says.
//! `SCONES_SIMULATION=FIRST..LAST` tries other seeds.
//!
//! A seed repeats its run exactly: ids, faults and delays are drawn from it,
//! time is virtual, everything runs on one thread, and nothing in the engine
//! follows from the order of a hash map or from a `select!` that draws lots.

#![expect(clippy::print_stdout, reason = "a failure says how it came about")]

mod coverage;
mod workflows;
mod world;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use crate::common::{
    Server, TokioClock,
    memory::{Disk, MemoryStore, Trouble, draw},
    text,
};
use coverage::Coverage;
use scones_states::Options;
use serde_json::{Value, json};
use world::{Seeded, Window, World};

/// Executions of one simulation that come to their end, whatever fails.
const JOURNEYS: u64 = 6;
/// All executions of one simulation.
const EXECUTIONS: u64 = JOURNEYS + 2;
/// Servers that die before one lives.
const CRASHES: u64 = 4;
/// What the tests run, unless they are told otherwise.
const STANDING_SEEDS: &str = "64..72";

/// What must hold of any history that has ended.
fn check(events: &[Value], seed: u64) {
    let place = |event: &Value| format!("seed {seed}, event {event}");
    let mut open = 0_i64;
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["id"], json!(number + 1), "{}", place(event));
        assert!(
            event["previousEventId"].as_u64() < event["id"].as_u64(),
            "{}",
            place(event)
        );
        match event["type"].as_str().unwrap() {
            kind if kind.ends_with("StateEntered") => open += 1,
            kind if kind.ends_with("StateExited") => open -= 1,
            "ExecutionRedriven" => {
                let before = &events[number - 1]["type"];
                assert_eq!(
                    before,
                    "ExecutionAborted",
                    "{} {:?}",
                    place(event),
                    &events[number.saturating_sub(4)..number]
                );
            }
            kind if kind.starts_with("Execution") => {
                let redriven = events
                    .get(number + 1)
                    .is_some_and(|next| next["type"] == "ExecutionRedriven");
                let outermost = number == 0 || number + 1 == events.len();
                assert!(outermost || redriven, "an end before the end: {}", place(event));
            }
            _ => {}
        }
    }
    if events.last().unwrap()["type"] == "ExecutionSucceeded" {
        assert_eq!(open, 0, "seed {seed}: a state was entered and never left");
    }
    let count = |kind: &str| events.iter().filter(|event| event["type"] == kind).count();
    let (scheduled, ended) = (
        count("TaskScheduled"),
        count("TaskSucceeded") + count("TaskFailed") + count("TaskTimedOut"),
    );
    assert!(ended <= scheduled, "seed {seed}: a task has two results");
}

/// Every map run has ended with its execution, and no item was lost or doubled.
async fn check_map_runs(server: &Server, execution: &str, succeeded: bool, seed: u64) {
    let runs = server.ok("ListMapRuns", json!({"executionArn": execution})).await;
    let mut seen = BTreeSet::new();
    for run in runs["mapRuns"].as_array().unwrap() {
        assert!(seen.insert(text(&run["mapRunArn"])), "seed {seed}: {runs}");
        let of = json!({"mapRunArn": run["mapRunArn"]});
        let run = server.ok("DescribeMapRun", of.clone()).await;
        assert_ne!(run["status"], "RUNNING", "seed {seed}: {run}");
        let running = json!({"mapRunArn": run["mapRunArn"], "statusFilter": "RUNNING"});
        let running = server.ok("ListExecutions", running).await;
        assert_eq!(running["executions"], json!([]), "seed {seed}: a child without a run");
        for (count, status) in [("succeeded", "SUCCEEDED"), ("failed", "FAILED"), ("aborted", "ABORTED")] {
            let listed = json!({"mapRunArn": run["mapRunArn"], "statusFilter": status});
            let listed = server.ok("ListExecutions", listed).await;
            let listed = listed["executions"].as_array().unwrap().len();
            assert_eq!(run["executionCounts"][count], listed, "seed {seed}: {status} {run}");
        }
        let arn = text(&run["mapRunArn"]);
        if succeeded && arn.contains("/D:") {
            let children = server.ok("ListExecutions", of).await;
            assert_eq!(
                children["executions"].as_array().unwrap().len(),
                3,
                "seed {seed}: {children}"
            );
            assert_eq!(run["itemCounts"]["succeeded"], 3, "seed {seed}: {run}");
        }
    }
}

/// Prints an execution with its map runs, for whoever looks for the reason.
async fn show(server: &Server, execution: &str) {
    println!(
        "{} {:?}",
        server.describe(execution).await,
        server.history(execution).await
    );
    let runs = server.ok("ListMapRuns", json!({"executionArn": execution})).await;
    for run in runs["mapRuns"].as_array().unwrap() {
        let of = json!({"mapRunArn": run["mapRunArn"]});
        println!("run {}", server.ok("DescribeMapRun", of.clone()).await);
        let children = server.ok("ListExecutions", of).await;
        for child in children["executions"].as_array().unwrap() {
            let history = server.history(child["executionArn"].as_str().unwrap()).await;
            println!("child {child} {history:?}");
        }
    }
}

/// The state machines, and the activity that one of them uses.
struct Machines {
    journey: String,
    failure: String,
    lateness: String,
    activity: String,
}

impl Machines {
    async fn create(server: &Server) -> Self {
        let activity = server.ok("CreateActivity", json!({"name": "a"})).await;
        let activity = text(&activity["activityArn"]);
        Self {
            journey: server.machine("journey", &workflows::journey(&activity)).await,
            failure: server.machine("failure", &workflows::failure()).await,
            lateness: server.machine("lateness", &workflows::lateness()).await,
            activity,
        }
    }

    /// What the execution with a number runs.
    fn of(&self, number: u64) -> &str {
        match number {
            0..JOURNEYS => &self.journey,
            JOURNEYS => &self.failure,
            _ => &self.lateness,
        }
    }

    /// Every execution that the servers list.
    async fn executions(&self, server: &Server, status: Option<&str>) -> Option<Vec<Value>> {
        let mut found = Vec::new();
        for machine in [&self.journey, &self.failure, &self.lateness] {
            let of = json!({"stateMachineArn": machine, "statusFilter": status});
            let listed = server.call("ListExecutions", of).await.ok()?;
            found.extend(listed["executions"].as_array().unwrap().iter().cloned());
        }
        Some(found)
    }
}

/// How an execution may have ended.
fn expected(execution: &str, stopped: &BTreeSet<String>) -> &'static [&'static str] {
    if execution.contains(":failure:") {
        &["FAILED"]
    } else if execution.contains(":lateness:") {
        // Its job may fail before it is late.
        &["TIMED_OUT", "FAILED"]
    } else if stopped.contains(execution) {
        &["ABORTED", "SUCCEEDED"]
    } else {
        &["SUCCEEDED"]
    }
}

/// Gives the disk that the servers leave.
async fn simulate(number: u64) -> Disk {
    let (disk, clock, seed) = (Disk::default(), TokioClock::new(), &mut number.clone());
    let world = World::new(&clock);
    let options = Options {
        tasks_max: 3,
        idle_before_parking: Duration::from_secs(5),
        ..Options::default()
    };
    let serve = async |trouble, seed: &mut u64| {
        let store = MemoryStore::new(&disk, trouble);
        let window = Window {
            world: Arc::clone(&world),
            store: Arc::clone(&store),
            seed: Seeded::new(draw(seed)),
        };
        let ids = Seeded::new(draw(seed));
        let server = Server::try_over(store.clone(), clock.clone(), Arc::new(window), options.clone(), ids).await;
        // One that cannot read its own index does not start.
        server.map(|server| (server, store))
    };
    let (server, _) = serve(Trouble::default(), seed).await.unwrap();
    let machines = Machines::create(&server).await;
    server.states.shutdown().await;

    let mut acknowledged = Vec::new();
    // Those that were told to stop, and not told to go on since.
    let mut stopped = BTreeSet::new();
    let mut next = 0;
    for round in 0..=CRASHES {
        let dies = round < CRASHES;
        let trouble = Trouble {
            seed: draw(seed),
            failing: if dies { 60 } else { 0 },
            delay_millis: draw(seed) % 40,
            writes_left: dies.then(|| 20 + draw(seed) % 400),
        };
        let Some((server, store)) = serve(trouble, seed).await else {
            continue;
        };
        while next < EXECUTIONS && !store.is_dead() {
            let name = format!("e{next}");
            let input = format!("[{next}, {next}, {next}]");
            let start = json!({"stateMachineArn": machines.of(next), "name": name, "input": input});
            match server.call("StartExecution", start).await {
                Ok(started) => {
                    acknowledged.push(text(&started["executionArn"]));
                    next += 1;
                }
                Err(error) if error.code == "ExecutionAlreadyExists" => next += 1,
                Err(error) => assert!(error.status >= 500, "seed {number}: {error}"),
            }
        }
        let journeys = acknowledged.iter().filter(|it| it.contains(":journey:")).count() as u64;
        if journeys > 0 {
            let execution = acknowledged[usize::try_from(draw(seed) % journeys).unwrap()].clone();
            let of = json!({"executionArn": execution});
            if draw(seed).is_multiple_of(3) {
                // Whatever it answers, it may have stopped it.
                stopped.insert(execution.clone());
                drop(server.call("StopExecution", of.clone()).await);
            }
            if draw(seed).is_multiple_of(2) && server.call("RedriveExecution", of).await.is_ok() {
                stopped.remove(&execution);
            }
        }
        let reports = Seeded::new(draw(seed));
        let mut quiet = false;
        for _ in 0..3_000 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if store.is_dead() {
                break;
            }
            world.report(&server, &machines.activity, &reports).await;
            let open = machines.executions(&server, Some("RUNNING")).await;
            if open.is_some_and(|open| open.is_empty()) {
                quiet = true;
                break;
            }
        }
        if !quiet && !store.is_dead() {
            for execution in machines.executions(&server, Some("RUNNING")).await.unwrap() {
                show(&server, &text(&execution["executionArn"])).await;
            }
        }
        assert!(
            quiet || store.is_dead(),
            "seed {number}, round {round}: an execution is stuck"
        );
        if !dies {
            let listed = machines.executions(&server, None).await.unwrap();
            assert_eq!(listed.len() as u64, EXECUTIONS, "seed {number}: {listed:?}");
            for execution in &acknowledged {
                let described = server.describe(execution).await;
                let events = server.events(execution).await;
                let status = text(&described["status"]);
                if !expected(execution, &stopped).contains(&status.as_str()) {
                    show(&server, execution).await;
                    panic!("seed {number}: {execution} {status}: {described} {events:?}");
                }
                check(&events, number);
                check_map_runs(&server, execution, status == "SUCCEEDED", number).await;
            }
            // Those that nobody waits for are stopped, the others have ended.
            tokio::time::sleep(Duration::from_secs(60)).await;
            assert_eq!(world.running_jobs(), [""; 0], "seed {number}");
        }
        server.states.shutdown().await;
    }
    disk
}

/// An execution with a job that outlasts it, on a server that dies after so
/// many writes and on one that takes over. Gives the jobs that run on, and
/// whether the first server died.
async fn late_with_a_crash(seed: u64, writes: u64) -> (Vec<String>, bool) {
    let (disk, clock) = (Disk::default(), TokioClock::new());
    let world = World::new(&clock);
    let serve = async |writes_left| {
        let trouble = Trouble {
            writes_left,
            ..Trouble::default()
        };
        let store = MemoryStore::new(&disk, trouble);
        let window = Window {
            world: Arc::clone(&world),
            store: Arc::clone(&store),
            seed: Seeded::new(seed),
        };
        let server = Server::over(store.clone(), clock.clone(), Arc::new(window), Options::default()).await;
        (server, store)
    };
    let (server, _) = serve(None).await;
    let machine = server.machine("lateness", &workflows::lateness()).await;
    server.states.shutdown().await;
    let (server, store) = serve(Some(writes)).await;
    let start = json!({"stateMachineArn": machine, "name": "one", "input": "[1]"});
    drop(server.call("StartExecution", start).await);
    for _ in 0..60 {
        if !store.is_dead() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
    server.states.shutdown().await;
    let (server, _) = serve(None).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    server.states.shutdown().await;
    (world.running_jobs(), store.is_dead())
}

#[tokio::test(start_paused = true)]
async fn no_job_outlasts_its_task_wherever_a_server_dies() {
    for seed in 0..6 {
        for writes in 1.. {
            let (running, died) = late_with_a_crash(seed, writes).await;
            assert_eq!(running, [""; 0], "seed {seed}, after {writes} writes");
            if !died {
                break;
            }
        }
    }
}

fn run(seed: u64) -> Disk {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(simulate(seed))
}

#[test]
fn a_seed_repeats_its_run_exactly() {
    let (first, second) = (run(64).lines(), run(64).lines());
    let different = first.iter().zip(&second).find(|(first, second)| first != second);
    assert_eq!(different, None);
    assert_eq!(first.len(), second.len());
}

#[test]
fn no_execution_is_lost_doubled_or_stuck() {
    let chosen = std::env::var("SCONES_SIMULATION").ok();
    let seeds = chosen.as_deref().unwrap_or(STANDING_SEEDS);
    let (first, last) = seeds.split_once("..").expect("SCONES_SIMULATION is FIRST..LAST");
    let mut coverage = Coverage::default();
    for seed in first.parse::<u64>().unwrap()..last.parse().unwrap() {
        match std::panic::catch_unwind(|| run(seed)) {
            Ok(disk) => coverage.add(&disk),
            Err(_) => panic!("SCONES_SIMULATION={seed}..{} repeats this", seed + 1),
        }
    }
    coverage.print();
    if chosen.is_none() {
        coverage.check();
    }
}
