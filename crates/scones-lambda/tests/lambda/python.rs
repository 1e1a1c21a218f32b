//! Python handlers behave as on AWS.

use crate::common::{Server, log_tail};
use serde_json::json;

/// Runs the body of a handler on an event and compares the answer.
async fn check(server: &Server, body: &str, event: &str, expect: &str) {
    let source = format!(
        "import collections, decimal, json, logging, os, sys, time\n\
         Point = collections.namedtuple('Point', 'x y')\n\
         def handler(event, context):\n    {}\n",
        body.replace('\n', "\n    ")
    );
    let name = format!("f{}", uuid::Uuid::new_v4().simple());
    server.create(&name, &source, json!({ "Timeout": 60 })).await;
    assert_eq!(server.result(&name, event).await, expect, "{body}");
    server
        .call("DeleteFunction", json!({ "FunctionName": name }))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn results_are_marshalled_as_aws_does() {
    let server = Server::start().await;
    let s = &server;
    check(
        s,
        "return event",
        r#"{"a":[1,2.5,null,true,"x"]}"#,
        r#"{"a": [1, 2.5, null, true, "x"]}"#,
    )
    .await;
    check(s, "return event", "", "{}").await;
    check(s, "pass", "1", "null").await;
    check(s, "return b'raw'", "{}", "raw").await;
    check(s, "return {'b': b'text', b'k': 1}", "{}", r#"{"b": "text", "k": 1}"#).await;
    check(s, "return decimal.Decimal('1.10')", "{}", "1.10").await;
    check(s, "return (1, Point(2, 3))", "{}", r#"[1, {"x": 2, "y": 3}]"#).await;
    check(s, "return 'ä'", "{}", r#""ä""#).await;
    check(
        s,
        "return {1, 2}",
        "{}",
        r#"Unhandled {"errorMessage": "Unable to marshal response: Object of type set is not JSON serializable", "errorType": "Runtime.MarshalError", "requestId": "ID", "stackTrace": []}"#,
    )
    .await;
    server.lambda.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exceptions_carry_type_message_and_stack() {
    let server = Server::start().await;
    let s = &server;
    check(
        s,
        "raise('THRESHOLD_CONFIDENCE_NOT_MET')",
        "{}",
        r#"Unhandled {"errorMessage": "exceptions must derive from BaseException", "errorType": "TypeError", "requestId": "ID", "stackTrace": ["  File \"/var/task/app.py\", line 4, in handler\n    raise('THRESHOLD_CONFIDENCE_NOT_MET')\n"]}"#,
    )
    .await;
    check(
        s,
        "raise ValueError('boom')",
        "{}",
        r#"Unhandled {"errorMessage": "boom", "errorType": "ValueError", "requestId": "ID", "stackTrace": ["  File \"/var/task/app.py\", line 4, in handler\n    raise ValueError('boom')\n"]}"#,
    )
    .await;
    check(
        s,
        "sys.exit(1)",
        "{}",
        r#"Unhandled {"errorType":"Runtime.ExitError","errorMessage":"RequestId: ID Error: Runtime exited with error: exit status 1"}"#,
    )
    .await;
    check(
        s,
        "os.kill(os.getpid(), 9)",
        "{}",
        r#"Unhandled {"errorType":"Runtime.ExitError","errorMessage":"RequestId: ID Error: Runtime exited with error: signal: killed"}"#,
    )
    .await;
    check(
        s,
        "sys.exit(0)",
        "{}",
        r#"Unhandled {"errorType":"Runtime.ExitError","errorMessage":"RequestId: ID Error: Runtime exited without providing a reason"}"#,
    )
    .await;
    check(
        s,
        "return 'x' * 6291557",
        "{}",
        r#"Unhandled {"errorMessage":"Response payload size exceeded maximum allowed payload size (6291556 bytes).","errorType":"Function.ResponseSizeTooLarge"}"#,
    )
    .await;
    server.lambda.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_context_and_the_environment_tell_of_the_invocation() {
    let server = Server::start().await;
    let s = &server;
    check(
        s,
        "return context.function_name[:1] + context.function_version",
        "{}",
        r#""f$LATEST""#,
    )
    .await;
    check(
        s,
        "return 0 < context.get_remaining_time_in_millis() <= 60000",
        "{}",
        "true",
    )
    .await;
    check(
        s,
        "return context.invoked_function_arn.split(':')[:6]",
        "{}",
        r#"["arn", "aws", "lambda", "us-east-1", "000000000000", "function"]"#,
    )
    .await;
    check(
        s,
        "return [context.memory_limit_in_mb, os.environ['AWS_LAMBDA_FUNCTION_MEMORY_SIZE']]",
        "{}",
        r#"["128", "128"]"#,
    )
    .await;
    check(
        s,
        "return context.log_group_name == '/aws/lambda/' + context.function_name",
        "{}",
        "true",
    )
    .await;
    check(
        s,
        "return [os.environ[k] for k in ('AWS_ENDPOINT_URL', 'AWS_REGION', 'AWS_ACCESS_KEY_ID', 'TZ')]",
        "{}",
        r#"["http://127.0.0.1:4566", "us-east-1", "AKIATEST", ":UTC"]"#,
    )
    .await;
    check(
        s,
        "return os.getcwd() == os.environ['LAMBDA_TASK_ROOT'] == sys.path[0]",
        "{}",
        "true",
    )
    .await;
    check(
        s,
        "return 'CARGO_TARGET_DIR' in os.environ or 'CARGO_MANIFEST_DIR' in os.environ",
        "{}",
        "false",
    )
    .await;
    check(
        s,
        "open(os.path.join(os.environ['HOME'], 'x'), 'w').write('y')\nreturn os.listdir(os.environ['TMPDIR'])",
        "{}",
        r#"["x"]"#,
    )
    .await;
    server.lambda.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_cannot_start_says_why() {
    let server = Server::start().await;
    for (name, handler, source, expect) in [
        (
            "import",
            "nope.handler",
            "",
            r#"Unhandled {"errorMessage": "Unable to import module 'nope': No module named 'nope'", "errorType": "Runtime.ImportModuleError", "requestId": "", "stackTrace": []}"#,
        ),
        (
            "missing",
            "app.none",
            "",
            r#"Unhandled {"errorMessage": "Handler 'none' missing on module 'app'", "errorType": "Runtime.HandlerNotFound", "requestId": "", "stackTrace": []}"#,
        ),
        (
            "nodot",
            "app",
            "",
            r#"Unhandled {"errorMessage": "Bad handler 'app': not enough values to unpack (expected 2, got 1)", "errorType": "Runtime.MalformedHandlerName", "requestId": "", "stackTrace": []}"#,
        ),
        (
            "exit",
            "app.handler",
            "import sys; sys.exit(2)",
            r#"Unhandled {"errorType":"Runtime.ExitError","errorMessage":"RequestId: ID Error: Runtime exited with error: exit status 2"}"#,
        ),
    ] {
        server.create(name, source, json!({ "Handler": handler })).await;
        assert_eq!(server.result(name, "{}").await, expect);
    }
    server.lambda.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tracebacks_show_the_code_where_it_is_on_aws() {
    let server = Server::start().await;
    let source = "import logging\n\
                  def handler(event, context):\n    \
                      try:\n        \
                          [][0]\n    \
                      except IndexError:\n        \
                          logging.exception('caught')\n    \
                      raise KeyError('gone')\n";
    server.create("raises", source, json!({})).await;
    let invocation = server.invoke("raises", "{}").await;
    let (answer, log) = (String::from_utf8_lossy(&invocation.payload), log_tail(&invocation));
    server
        .create("broken", "\ndef handler(event, context) 1\n", json!({}))
        .await;
    let syntax = server.result("broken", "{}").await;
    for (text, expect) in [
        (answer.as_ref(), r#"  File \"/var/task/app.py\", line 7, in handler"#),
        (&log, "\u{a0}\u{a0}File \"/var/task/app.py\", line 7, in handler"),
        (&log, "  File \"/var/task/app.py\", line 4, in handler"),
        (&syntax, r#"  File \"/var/task/app.py\" Line 2"#),
    ] {
        assert!(text.contains(expect), "{text}");
        let task = server.directory.path().display().to_string();
        assert!(
            !text
                .lines()
                .any(|line| line.contains(&task) && !line.starts_with("INIT_START")),
            "{text}"
        );
    }
    server.lambda.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_has_awss_lines_in_order() {
    let server = Server::start().await;
    let source = "import logging, sys\n\
                  print('loading')\n\
                  def handler(event, context):\n    \
                      print('from print')\n    \
                      print('from stderr', file=sys.stderr)\n    \
                      logging.getLogger().error('from logging')\n    \
                      sys.stdout.write('no line end')\n";
    server.create("logs", source, json!({})).await;
    let first = server.invoke("logs", "{}").await;
    let second = server.invoke("logs", "{}").await;
    let hide = |text: &str, id: &str| {
        let text = text.replace(id, "ID");
        let mut lines: Vec<String> = Vec::new();
        for line in text.lines() {
            let words: Vec<&str> = line.split('\t').collect();
            lines.push(match words.as_slice() {
                ["[ERROR]", _, rest @ ..] => format!("[ERROR] TIME {}", rest.join(" ")),
                [report, duration, ..] if report.starts_with("REPORT") => {
                    assert!(duration.starts_with("Duration: ") && duration.ends_with(" ms"));
                    let init = line.contains("\tInit Duration: ");
                    format!("{report} ... init {init}")
                }
                _ if line.starts_with("INIT_START") => "INIT_START ...".to_owned(),
                _ => line.to_owned(),
            });
        }
        lines
    };
    let mut expect = vec![
        "INIT_START ...",
        "loading",
        "START RequestId: ID Version: $LATEST",
        "from print",
        "[ERROR] TIME ID from logging",
        "no line end",
        "from stderr",
        "END RequestId: ID",
        "REPORT RequestId: ID ... init true",
    ];
    let mut seen = hide(&log_tail(&first), &first.request_id);
    // The two pipes have no order between them.
    seen.sort();
    expect.sort_unstable();
    assert_eq!(seen, expect);
    let seen = hide(&log_tail(&second), &second.request_id);
    assert_eq!(
        seen.first().unwrap(),
        "START RequestId: ID Version: $LATEST",
        "the tail is the invocation's own"
    );
    assert_eq!(seen.last().unwrap(), "REPORT RequestId: ID ... init false");

    let lines = server.logs.lines("/aws/lambda/logs");
    assert_eq!(lines.iter().filter(|line| *line == "from print").count(), 2);
    let streams = server.logs.streams("/aws/lambda/logs");
    assert_eq!(streams.len(), 1, "one worker has one stream");
    assert!(streams[0].contains("/[$LATEST]"), "{}", streams[0]);
    server.lambda.shutdown().await;
}
