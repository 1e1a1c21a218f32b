//! Tasks: calls, results, failures, retries, timeouts, tokens.

use scones_asl::{Input, Pattern, TaskToken};
use serde_json::{Value, json};

use crate::harness::{Answer, World, check_tasks, single, unreachable_removed};

const FUNCTION: &str = "arn:aws:lambda:us-east-1:1:function:f";

fn task(fields: Value) -> Value {
    let mut state = json!({"Type": "Task", "Resource": FUNCTION});
    state
        .as_object_mut()
        .unwrap()
        .extend(fields.as_object().unwrap().clone());
    unreachable_removed(single(state))
}

#[test]
fn three_service_calls_write_seventeen_events() {
    let invoke = |next: Value| {
        let mut state = json!({"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Parameters": {"FunctionName": "f", "Payload.$": "$"}});
        state.as_object_mut().unwrap().extend(next.as_object().unwrap().clone());
        state
    };
    let definition = json!({"StartAt": "A", "States": {
        "A": invoke(json!({"Next": "B"})), "B": invoke(json!({"Next": "C"})), "C": invoke(json!({"End": true}))}});
    let mut world = World::start(&definition, "{}");
    world.run(|call| Answer::Succeeds(call.parameters["Payload"].clone()));
    assert_eq!(world.events.len(), 17);
    assert_eq!(
        world.chain(),
        "1<-0 ExecutionStarted, 2<-0 TaskStateEntered, 3<-2 TaskScheduled, 4<-3 TaskStarted, 5<-4 TaskSucceeded, \
         6<-5 TaskStateExited, 7<-6 TaskStateEntered, 8<-7 TaskScheduled, 9<-8 TaskStarted, 10<-9 TaskSucceeded, \
         11<-10 TaskStateExited, 12<-11 TaskStateEntered, 13<-12 TaskScheduled, 14<-13 TaskStarted, 15<-14 TaskSucceeded, \
         16<-15 TaskStateExited, 17<-16 ExecutionSucceeded"
    );
}

#[test]
fn results_flow_on() {
    let check = |fields: Value, expect: &str| {
        check_tasks(
            &task(fields),
            "{\"a\":1}",
            |_| Answer::Succeeds(json!({"r": {"s": 2}})),
            expect,
        );
    };
    check(json!({}), "{\"r\":{\"s\":2}}");
    check(json!({"ResultPath": "$.out"}), "{\"a\":1,\"out\":{\"r\":{\"s\":2}}}");
    check(json!({"ResultSelector": {"t.$": "$.r.s"}}), "{\"t\":2}");
    check(
        json!({"ResultSelector": {"t.$": "$.r.s"}, "ResultPath": "$.out", "OutputPath": "$.out"}),
        "{\"t\":2}",
    );
    check(json!({"Assign": {"v.$": "$.r.s"}, "ResultPath": null}), "{\"a\":1}");
}

#[test]
fn failures_are_caught_in_order() {
    let check = |catch: Value, error: &'static str, expect: &str| {
        check_tasks(&task(json!({"Catch": catch})), "{}", |_| Answer::Fails(error), expect);
    };
    let caught = |error: &str| format!("{{\"Error\":\"{error}\",\"Cause\":\"because\"}}");
    let catch = |name: &str| json!([{"ErrorEquals": [name], "Next": "Caught"}]);
    check(catch("E"), "E", &caught("E"));
    check(catch("States.ALL"), "E", &caught("E"));
    check(catch("States.TaskFailed"), "E", &caught("E"));
    check(catch("States.TaskFailed"), "States.Timeout", "States.Timeout: because");
    check(catch("Other"), "E", "E: because");
    check(catch("States.ALL"), "States.Runtime", "States.Runtime: because");
    check(
        json!([{"ErrorEquals": ["E"], "Next": "Caught", "ResultPath": "$.e"}]),
        "E",
        &format!("{{\"e\":{}}}", caught("E")),
    );
}

#[test]
fn retries_wait_longer_each_time() {
    let times = |retry: Value, failures: usize| {
        let mut world = World::start(&task(json!({"Retry": [retry]})), "{}");
        let mut left = failures;
        let mut times = Vec::new();
        while world.outcome.is_none() {
            if let Some(call) = world.calls.pop() {
                times.push(world.now.0);
                let input = if left == 0 {
                    Input::TaskSucceeded {
                        task: call.task,
                        output: "1".into(),
                    }
                } else {
                    left -= 1;
                    Input::TaskFailed {
                        task: call.task,
                        error: Some("E".into()),
                        cause: None,
                    }
                };
                world.apply(input);
            } else {
                assert!(world.tick());
            }
        }
        (times, world.result())
    };
    let retry = |more: Value| {
        let mut retry = json!({"ErrorEquals": ["E"]});
        retry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        retry
    };
    assert_eq!(times(retry(json!({})), 3), (vec![0, 1000, 3000, 7000], "1".into()));
    assert_eq!(times(retry(json!({})), 4), (vec![0, 1000, 3000, 7000], "E: -".into()));
    assert_eq!(times(retry(json!({"MaxAttempts": 0})), 1), (vec![0], "E: -".into()));
    assert_eq!(
        times(retry(json!({"IntervalSeconds": 4, "BackoffRate": 1.5})), 2),
        (vec![0, 4000, 10_000], "1".into())
    );
    assert_eq!(
        times(retry(json!({"MaxDelaySeconds": 2})), 3),
        (vec![0, 1000, 3000, 5000], "1".into())
    );
    let (jittered, _) = times(retry(json!({"JitterStrategy": "FULL", "IntervalSeconds": 100})), 1);
    assert!(jittered[1] > 0 && jittered[1] < 100_000, "{jittered:?}");
    assert_eq!(
        times(retry(json!({"JitterStrategy": "FULL", "IntervalSeconds": 100})), 1).0,
        jittered
    );
}

#[test]
fn timeouts_and_missed_heartbeats_fail_the_task() {
    let check = |fields: Value, expect: &str| check_tasks(&task(fields), "{\"t\":5}", |_| Answer::Hangs, expect);
    let catch = |name: &str| json!([{"ErrorEquals": [name], "Next": "Caught"}]);
    check(json!({}), "running");
    check(json!({"TimeoutSeconds": 5}), "States.Timeout: -");
    check(json!({"TimeoutSecondsPath": "$.t"}), "States.Timeout: -");
    check(json!({"HeartbeatSeconds": 5}), "States.Timeout: -");
    check(
        json!({"HeartbeatSeconds": 5, "Catch": catch("States.HeartbeatTimeout")}),
        "{\"Error\":\"States.Timeout\",\"Cause\":\"\"}",
    );
    check(
        json!({"TimeoutSeconds": 5, "Catch": catch("States.Timeout")}),
        "{\"Error\":\"States.Timeout\",\"Cause\":\"\"}",
    );
    let mut whole = task(json!({}));
    whole["TimeoutSeconds"] = json!(9);
    check_tasks(&whole, "{}", |_| Answer::Hangs, "timed out");
}

#[test]
fn heartbeats_keep_a_task_alive() {
    let mut world = World::start(&task(json!({"HeartbeatSeconds": 5})), "{}");
    let call = world.calls.remove(0);
    for second in [3, 7, 11] {
        world.now.0 = second * 1000;
        world.apply(Input::TaskHeartbeat { task: call.task });
        assert_eq!(world.timers.first().unwrap().0.0, (second + 5) * 1000);
    }
    assert!(world.tick());
    assert_eq!((world.result().as_str(), world.now.0), ("States.Timeout: -", 16_000));
}

#[test]
fn tokens_lead_back_to_their_task() {
    let definition = unreachable_removed(single(json!({
        "Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
        "Parameters": {"QueueUrl": "q", "MessageBody": {"token.$": "$$.Task.Token"}}})));
    let mut world = World::start(&definition, "{}");
    let call = world.calls.remove(0);
    assert_eq!(call.kind(), Pattern::WaitForTaskToken);
    let token = call.token.clone().unwrap();
    assert_eq!(call.parameters["MessageBody"]["token"], token.as_str());
    assert_eq!(TaskToken::decode(&token).unwrap().task, call.task);
    world.apply(Input::TaskSubmitted {
        task: call.task,
        output: "{}".into(),
    });
    world.apply(Input::TaskSucceeded {
        task: call.task,
        output: "[1]".into(),
    });
    assert_eq!(world.result(), "[1]");
    assert!(
        world
            .chain()
            .contains("4<-3 TaskStarted, 5<-4 TaskSubmitted, 6<-5 TaskSucceeded"),
        "{}",
        world.chain()
    );
}

#[test]
fn activities_are_started_by_a_worker() {
    let definition = unreachable_removed(single(json!({
        "Type": "Task", "Resource": "arn:aws:states:us-east-1:1:activity:a", "HeartbeatSeconds": 5})));
    let mut world = World::start(&definition, "{}");
    let task = world.calls[0].task;
    assert!(world.timers.is_empty(), "heartbeats count from the start");
    world.apply(Input::TaskStarted {
        task,
        worker_name: Some("w".into()),
    });
    assert_eq!(world.timers.len(), 1);
    world.apply(Input::TaskSucceeded {
        task,
        output: "{}".into(),
    });
    assert!(
        world
            .chain()
            .contains("3<-2 ActivityScheduled, 4<-3 ActivityStarted, 5<-4 ActivitySucceeded")
    );
}

#[test]
fn an_activity_that_fails_before_a_worker_has_it_was_not_scheduled() {
    let resource = "arn:aws:states:us-east-1:1:activity:a";
    let definition = unreachable_removed(single(json!({"Type": "Task", "Resource": resource})));
    let mut world = World::start(&definition, "{}");
    let task = world.calls[0].task;
    world.apply(Input::TaskFailed {
        task,
        error: Some("States.Runtime".into()),
        cause: None,
    });
    let chain = world.chain();
    assert!(
        chain.ends_with("3<-2 ActivityScheduled, 4<-3 ActivityScheduleFailed, 5<-4 ExecutionFailed"),
        "{chain}"
    );
}

#[test]
fn late_and_doubled_answers_change_nothing() {
    let mut world = World::start(
        &task(json!({"TimeoutSeconds": 5, "Retry": [{"ErrorEquals": ["States.ALL"], "MaxAttempts": 1}]})),
        "{}",
    );
    let first = world.calls.remove(0).task;
    assert!(world.tick());
    assert_eq!(world.cancelled, [first]);
    let events = world.events.len();
    for input in [
        Input::TaskSucceeded {
            task: first,
            output: "1".into(),
        },
        Input::TaskFailed {
            task: first,
            error: None,
            cause: None,
        },
        Input::TaskHeartbeat { task: first },
        Input::TaskStarted {
            task: first,
            worker_name: None,
        },
    ] {
        world.apply(input);
    }
    assert_eq!(world.events.len(), events);
    assert!(world.tick());
    let second = world.calls.remove(0).task;
    assert!(!world.execution.awaits_task(first) && world.execution.awaits_task(second));
    world.apply(Input::TaskSucceeded {
        task: second,
        output: "2".into(),
    });
    world.apply(Input::TaskSucceeded {
        task: second,
        output: "3".into(),
    });
    assert_eq!(world.result(), "2");
}

#[test]
fn what_is_no_json_or_too_large_fails_the_task() {
    let result = |output: String| {
        let mut world = World::start(&task(json!({})), "{}");
        let task = world.calls[0].task;
        world.apply(Input::TaskSucceeded { task, output });
        world.result()
    };
    assert!(result("{".into()).starts_with("States.Runtime: "));
    assert_eq!(
        result(format!("\"{}\"", "x".repeat(262_144))),
        format!(
            "States.DataLimitExceeded: The state/task '{FUNCTION}' returned a result with a size exceeding the maximum number of bytes service limit."
        )
    );
}

#[test]
fn stopping_cancels_everything() {
    let mut world = World::start(&task(json!({"TimeoutSeconds": 5})), "{}");
    world.apply(Input::Stop {
        error: Some("E".into()),
        cause: None,
    });
    assert_eq!(
        (world.result().as_str(), world.timers.len(), world.cancelled.len()),
        ("aborted", 0, 1)
    );
    assert!(world.chain().ends_with("4<-0 ExecutionAborted"), "{}", world.chain());
}
