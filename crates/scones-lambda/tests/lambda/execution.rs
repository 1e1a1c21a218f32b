//! Workers: warm, concurrent, timed out, killed, out of memory, retired.

use std::time::Duration;

use crate::common::{Server, eventually, log_tail, package};
use bytes::Bytes;
use scones_lambda::Invoke;
use serde_json::json;

/// A handler that tells which process runs it.
const WHO: &str = "import os, time\n\
                   def handler(event, context):\n    \
                       time.sleep(event.get('sleep', 0))\n    \
                       return os.getpid()\n";

fn is_alive(process: &str) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // A process that ended and was not waited for is a zombie: `Z`.
    !(state.is_empty() || state.contains(") Z "))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_worker_is_used_again_until_its_function_changes() {
    let server = Server::start().await;
    server.create("who", WHO, json!({})).await;
    let first = server.result("who", "{}").await;
    assert_eq!(server.result("who", "{}").await, first);
    server
        .call(
            "UpdateFunctionConfiguration",
            json!({ "FunctionName": "who", "Timeout": 9 }),
        )
        .await
        .unwrap();
    eventually(|| (!is_alive(&first)).then_some(())).await;
    let second = server.result("who", "{}").await;
    assert_ne!(second, first);
    server.lambda.shutdown().await;
    assert!(!is_alive(&second), "nothing outlives the server");
}

#[tokio::test(flavor = "multi_thread")]
async fn invocations_at_the_same_time_have_workers_of_their_own() {
    let server = Server::start().await;
    server.create("who", WHO, json!({ "Timeout": 60 })).await;
    let runs = (0..4).map(|_| server.result("who", r#"{"sleep": 1}"#));
    let mut processes = futures::future::join_all(runs).await;
    processes.sort();
    processes.dedup();
    assert_eq!(processes.len(), 4);
    server.lambda.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_invocations_than_places_wait_for_one() {
    let server = Server::with(|options| options.workers = 1).await;
    server.create("who", WHO, json!({ "Timeout": 60 })).await;
    server.create("other", WHO, json!({ "Timeout": 60 })).await;
    let runs = ["who", "other", "who", "other"].map(|name| server.result(name, "{}"));
    for result in futures::future::join_all(runs).await {
        assert!(!result.starts_with("Unhandled"), "{result}");
    }
    server.lambda.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_invocations_are_refused() {
    let server = Server::start().await;
    server.create("who", WHO, json!({})).await;
    let put = json!({ "FunctionName": "who", "ReservedConcurrentExecutions": 0 });
    server.call("PutFunctionConcurrency", put).await.unwrap();
    let refused = server
        .lambda
        .invoke(Invoke {
            function: "who",
            ..Invoke::default()
        })
        .await
        .unwrap_err();
    assert_eq!(
        (refused.status, refused.to_string().as_str()),
        (429, "TooManyRequestsException: Rate Exceeded.")
    );
    server.lambda.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn time_is_up_for_a_whole_process_group() {
    let server = Server::start().await;
    let source = "import os, subprocess, time\n\
                  def handler(event, context):\n    \
                      child = subprocess.Popen(['sleep', '600'])\n    \
                      print('child', child.pid)\n    \
                      time.sleep(600)\n";
    server.create("slow", source, json!({ "Timeout": 1 })).await;
    let invocation = server.invoke("slow", "{}").await;
    let expect = format!(
        r#"{{"errorType":"Sandbox.Timedout","errorMessage":"RequestId: {} Error: Task timed out after 1.00 seconds"}}"#,
        invocation.request_id
    );
    assert_eq!(invocation.payload, expect);
    assert_eq!(invocation.function_error.as_deref(), Some("Unhandled"));
    let tail = log_tail(&invocation);
    assert!(
        tail.contains(&format!(
            "Z {} Task timed out after 1.00 seconds\n",
            invocation.request_id
        )),
        "{tail}"
    );
    assert!(tail.trim_end().ends_with("Status: timeout"), "{tail}");
    let child = tail
        .lines()
        .find_map(|line| line.strip_prefix("child "))
        .unwrap()
        .to_owned();
    eventually(|| (!is_alive(&child)).then_some(())).await;
    server.lambda.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_function_that_never_ends_its_imports_is_told_what_to_do() {
    let server = Server::start().await;
    let source = "import time\ntime.sleep(600)\n";
    server.create("slow", source, json!({})).await;
    let invocation = server.invoke("slow", "{}").await;
    let id = &invocation.request_id;
    let expect = format!(
        r#"{{"errorType":"Sandbox.Timedout","errorMessage":"RequestId: {id} Error: Task timed out after 3.00 seconds"}}"#
    );
    assert_eq!(invocation.payload, expect);
    let tail = log_tail(&invocation);
    let advice = format!(
        "RequestId: {id} The function was still initialising (its imports, say) after 13 seconds: 10 and its Timeout of \
         3. Raise its Timeout with UpdateFunctionConfiguration.\n"
    );
    assert!(tail.contains(&advice), "{tail}");
    let timed_out = format!("Z {id} Task timed out after 3.00 seconds\n");
    assert!(tail.contains(&timed_out), "{tail}");
    server.lambda.shutdown().await;
}

/// Prints as many lines as its event says, 100 characters each with their end.
const PRINT: &str = "def handler(event, context):\n    \
                         for number in range(event): print(f'{number:099}')\n    \
                         return 'printed'\n";

fn numbers(lines: &[String]) -> Vec<usize> {
    lines.iter().filter_map(|line| line.parse().ok()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_logs_too_fast_waits_and_loses_nothing() {
    const LINES: usize = 10_000;
    let server = Server::start().await;
    server.create("print", PRINT, json!({ "Timeout": 60 })).await;
    server.logs.set_full(Some(1000));
    let (payload, group) = (LINES.to_string(), "/aws/lambda/print");
    let room = async {
        for full in (1000..=12_000).step_by(1000) {
            eventually(|| {
                let lines = server.logs.lines(group);
                let is_there = lines.len() >= full || lines.iter().any(|line| line.starts_with("REPORT"));
                // What was in the pipes comes at the end, whatever the room.
                is_there.then(|| assert!(lines.len() <= full + 2000, "{}", lines.len()))
            })
            .await;
            server.logs.set_full(Some(full + 1000));
        }
    };
    let (result, ()) = tokio::join!(server.result("print", &payload), room);
    assert_eq!(result, r#""printed""#);
    let lines = server.logs.lines(group);
    assert!(numbers(&lines).into_iter().eq(0..LINES));
    assert!(lines.last().unwrap().starts_with("REPORT"));
    server.lambda.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn time_passes_for_a_function_that_waits_for_its_log() {
    let server = Server::start().await;
    server.create("print", PRINT, json!({ "Timeout": 1 })).await;
    assert_eq!(server.result("print", "0").await, r#""printed""#);
    let before = server.logs.lines("/aws/lambda/print").len();
    server.logs.set_full(Some(before + 1));
    let invocation = server.invoke("print", "50000").await;
    let body = String::from_utf8_lossy(&invocation.payload);
    assert!(body.contains("Sandbox.Timedout"), "{body}");
    let lines = server.logs.lines("/aws/lambda/print").split_off(before);
    let printed = numbers(&lines);
    // What the pipe held, and no more.
    assert!((500..1000).contains(&printed.len()), "{}", printed.len());
    assert!(printed.iter().copied().eq(0..printed.len()), "without a gap");
    assert!(lines[0].starts_with("START"), "{}", lines[0]);
    assert!(lines[lines.len() - 2].starts_with("END"), "{lines:?}");
    assert!(lines[lines.len() - 1].ends_with("Status: timeout"), "{lines:?}");
    // Nothing begins until there is room.
    let next = server.invoke("print", "0");
    tokio::pin!(next);
    assert!(futures::poll!(&mut next).is_pending());
    server.logs.set_full(None);
    assert_eq!(next.await.payload, r#""printed""#);
    server.lambda.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_waits_for_no_room_and_keeps_what_was_written() {
    let server = Server::start().await;
    server.create("print", PRINT, json!({ "Timeout": 60 })).await;
    server.logs.set_full(Some(1));
    let invoke = Invoke {
        function: "print",
        payload: Bytes::from_static(b"50000"),
        ..Invoke::default()
    };
    let stop = async {
        eventually(|| {
            let lines = server.logs.lines("/aws/lambda/print");
            lines.iter().any(|line| line.starts_with("START")).then_some(())
        })
        .await;
        server.lambda.shutdown().await;
    };
    let (stopped, ()) = tokio::join!(server.lambda.invoke(invoke), stop);
    assert_eq!(
        stopped.unwrap_err().to_string(),
        "ServiceException: the server is stopping"
    );
    let printed = numbers(&server.logs.lines("/aws/lambda/print"));
    assert!(printed.iter().copied().eq(0..printed.len()), "without a gap");
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_has_its_functions_memory_and_no_more() {
    let server = Server::start().await;
    let source = "import time\n\
                  def handler(event, context):\n    \
                      hold = b'x' * (event['mb'] << 20)\n    \
                      time.sleep(event['sleep'])\n    \
                      return len(hold)\n";
    server.create("hold", source, json!({ "Timeout": 60 })).await;
    assert_eq!(server.result("hold", r#"{"mb": 1, "sleep": 0}"#).await, "1048576");
    let killed = server.result("hold", r#"{"mb": 300, "sleep": 50}"#).await;
    assert!(killed.contains("Runtime exited with error: signal: killed"), "{killed}");
    server.lambda.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_writes_without_pause_is_watched_and_answered() {
    let server = Server::start().await;
    let source = "import os, threading, time\n\
                  def flood():\n    \
                      while True: os.write(1, (b'x' * 2000 + b'\\n') * 30)\n\
                  threading.Thread(target=flood, daemon=True).start()\n\
                  def handler(event, context):\n    \
                      hold = b'x' * (event['mb'] << 20)\n    \
                      time.sleep(event['sleep'])\n    \
                      return len(hold)\n";
    server.create("flood", source, json!({ "Timeout": 20 })).await;
    for (event, expect) in [
        (r#"{"mb": 1, "sleep": 0}"#, "1048576"),
        (r#"{"mb": 300, "sleep": 50}"#, "signal: killed"),
    ] {
        let result = server.result("flood", event).await;
        assert!(result.contains(expect), "{result}");
    }
    server.lambda.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_does_not_take_the_worker_with_it() {
    let server = Server::start().await;
    let source = "import os, time\n\
                  def handler(event, context):\n    \
                      time.sleep(event['sleep'])\n    \
                      print('finished', os.getpid())\n    \
                      return os.getpid()\n";
    server.create("slow", source, json!({ "Timeout": 60 })).await;
    let invoke = Invoke {
        function: "slow",
        payload: Bytes::from_static(br#"{"sleep": 1}"#),
        ..Invoke::default()
    };
    let left = tokio::time::timeout(Duration::from_millis(100), server.lambda.invoke(invoke)).await;
    assert!(left.is_err(), "the client leaves first");
    let finished = eventually(|| {
        let lines = server.logs.lines("/aws/lambda/slow");
        let reported = lines.iter().any(|line| line.starts_with("REPORT"));
        lines
            .into_iter()
            .find_map(|line| reported.then(|| line.strip_prefix("finished ").map(ToOwned::to_owned))?)
    })
    .await;
    assert_eq!(
        server.result("slow", r#"{"sleep": 0}"#).await,
        finished,
        "the same worker goes on"
    );
    server.lambda.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_died_in_its_sleep_is_replaced() {
    let server = Server::start().await;
    server.create("who", WHO, json!({})).await;
    let first = server.result("who", "{}").await;
    let killed = std::process::Command::new("kill")
        .args(["-9", &first])
        .status()
        .unwrap();
    assert!(killed.success());
    // The signal is on its way until then; a worker that it ends with an
    // invocation in hand is reported, as on AWS.
    eventually(|| (!is_alive(&first)).then_some(())).await;
    let second = server.result("who", "{}").await;
    assert!(second.parse::<u32>().is_ok() && second != first, "{second}");
    server.lambda.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_workers_are_retired() {
    let server = Server::with(|options| options.idle_seconds = 0).await;
    server.create("who", WHO, json!({})).await;
    let process = server.result("who", "{}").await;
    eventually(|| (!is_alive(&process)).then_some(())).await;
    server.lambda.shutdown().await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_package_may_bring_its_own_runtime() {
    let server = Server::start().await;
    let bootstrap = "#!/bin/sh\nexec python3 \"$LAMBDA_TASK_ROOT/loop.py\"\n";
    let own_loop = "import os, urllib.request\n\
                base = 'http://' + os.environ['AWS_LAMBDA_RUNTIME_API'] + '/2018-06-01/runtime/invocation/'\n\
                while True:\n    \
                    with urllib.request.urlopen(base + 'next') as event:\n        \
                        body, id = event.read(), event.headers['Lambda-Runtime-Aws-Request-Id']\n    \
                    known = 'SCONES_EXECUTABLE' in os.environ\n    \
                    answer = b'[%s, \"%s\", %d]' % (body, os.environ['_HANDLER'].encode(), known)\n    \
                    urllib.request.urlopen(base + id + '/response', answer).read()\n";
    let provided = |mode| {
        json!({
            "Runtime": "provided.al2023",
            "Handler": "any.thing",
            "Code": { "ZipFile": package(&[("bootstrap", bootstrap, mode), ("loop.py", own_loop, 0o644)]) },
        })
    };
    server.create("own", "", provided(0o755)).await;
    assert_eq!(server.result("own", r#"{"a":1}"#).await, r#"[{"a":1}, "any.thing", 1]"#);
    assert_eq!(server.result("own", "2").await, r#"[2, "any.thing", 1]"#);
    server.create("broken", "", provided(0o644)).await;
    assert_eq!(
        server.result("broken", "{}").await,
        r#"Unhandled {"errorType":"Runtime.InvalidEntrypoint","errorMessage":"RequestId: ID Error: Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]"}"#
    );
    server.lambda.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn payloads_have_limits() {
    let server = Server::start().await;
    server.create("who", WHO, json!({})).await;
    let invoke = |size: usize, body: &'static str| Invoke {
        function: "who",
        payload: if body.is_empty() {
            format!("\"{}\"", "x".repeat(size - 2)).into()
        } else {
            body.into()
        },
        ..Invoke::default()
    };
    let refused = server.lambda.invoke(invoke(6_291_457, "")).await.unwrap_err();
    assert_eq!(
        (refused.status, refused.to_string().as_str()),
        (
            413,
            "RequestTooLargeException: Request must be smaller than 6291456 bytes for the InvokeFunction operation"
        )
    );
    let refused = server.lambda.invoke_event(invoke(1_048_577, "")).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "RequestTooLargeException: 1048577 byte payload is too large for the Event invocation type (limit 1048576 bytes)"
    );
    let refused = server.lambda.invoke(invoke(0, "{no json")).await.unwrap_err();
    assert_eq!(refused.code, "InvalidRequestContentException");
    let could = server.lambda.invoke_dry_run(invoke(0, "{}")).await.unwrap();
    assert_eq!((could.status_code, could.payload.len()), (204, 0));
    assert!(server.logs.lines("/aws/lambda/who").is_empty(), "nothing has run");
    server.lambda.shutdown().await;
}
