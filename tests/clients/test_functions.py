"""Functions as a Python user meets them on AWS."""

import base64
import concurrent.futures
import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile

import pytest

from harness import PROGRAM, ROLE, Server, active, create_function, refused, wait_for, zipped
from story_data import unique


@pytest.fixture
def make(aws):
    """Creates functions and takes them away afterwards."""
    names = []

    def create(source, **settings):
        names.append(create_function(aws.functions, unique("function"), source, **settings))
        return names[-1]

    yield create
    for name in names:
        aws.functions.delete_function(FunctionName=name)


@pytest.fixture
def call(aws):
    """Invokes a function; gives its result, or the error that it ended with."""

    def invoke(name, event=None, **options):
        answer = aws.functions.invoke(FunctionName=name, Payload=json.dumps(event), **options)
        return json.loads(answer["Payload"].read()), answer.get("FunctionError")

    return invoke


def handler(*lines):
    """The source of a module whose handler has these lines."""
    body = "\n".join(f"    {line}" for line in lines)
    return f"import os, sys, time\n\nprint('loading')\n\ndef handler(event, context):\n{body}\n"


# Errors


def test_an_exception_has_type_message_and_stack(make, call):
    source = "class Late(Exception):\n    pass\n\ndef inner():\n    raise Late('by an hour')\n\n"
    error, kind = call(make(source + "def handler(event, context):\n    inner()\n"))
    assert kind == "Unhandled"
    assert set(error) == {"errorMessage", "errorType", "requestId", "stackTrace"}
    assert (error["errorType"], error["errorMessage"]) == ("Late", "by an hour")
    outer, inner = error["stackTrace"]
    assert re.fullmatch(r'  File "/var/task/app\.py", line 8, in handler\n    inner\(\)\n', outer)
    assert re.fullmatch(r"  File \"/var/task/app\.py\", line 5, in inner\n    raise Late\('by an hour'\)\n", inner)


def test_raising_text_is_a_type_error(make, call):
    error, kind = call(make(handler('raise("THRESHOLD_CONFIDENCE_NOT_MET")')))
    assert (kind, error["errorType"]) == ("Unhandled", "TypeError")
    assert error["errorMessage"] == "exceptions must derive from BaseException"


def test_bytes_are_decoded(make, call):
    assert call(make(handler("return {'image_data': b'aGVsbG8='}"))) == ({"image_data": "aGVsbG8="}, None)


def test_a_result_that_is_not_json_is_a_marshal_error(make, call):
    error, kind = call(make(handler("return {1, 2}")))
    assert (kind, error["errorType"]) == ("Unhandled", "Runtime.MarshalError")
    assert error["errorMessage"] == "Unable to marshal response: Object of type set is not JSON serializable"


def test_a_module_that_does_not_load_says_why(make, call):
    error, kind = call(make("import nowhere_to_be_found\n"))
    assert (kind, error["errorType"]) == ("Unhandled", "Runtime.ImportModuleError")
    assert error["errorMessage"] == "Unable to import module 'app': No module named 'nowhere_to_be_found'"


def test_a_missing_handler_is_named(make, call):
    error, kind = call(make("other = 1\n"))
    assert (kind, error["errorType"]) == ("Unhandled", "Runtime.HandlerNotFound")
    assert error["errorMessage"] == "Handler 'handler' missing on module 'app'"


def test_a_function_that_takes_too_long_is_ended(make, call):
    name = make(handler("if event: time.sleep(60)", "return os.getpid()"), Timeout=1)
    error, kind = call(name, True)
    assert (kind, error["errorType"]) == ("Unhandled", "Sandbox.Timedout")
    assert re.fullmatch(r"RequestId: \S+ Error: Task timed out after 1\.00 seconds", error["errorMessage"])
    # The next invocation gets a fresh process.
    assert isinstance(call(name, False)[0], int)


def test_a_function_that_exits_is_reported(make, call):
    error, kind = call(make(handler("os._exit(3)")))
    assert (kind, error["errorType"]) == ("Unhandled", "Runtime.ExitError")
    assert re.fullmatch(r"RequestId: \S+ Error: Runtime exited with error: exit status 3", error["errorMessage"])


# Invocations


def test_the_tail_of_the_log_comes_with_the_answer(aws, make):
    name = make(handler("print('hello from', event['who'])", "return 1"))
    answer = aws.functions.invoke(FunctionName=name, Payload=b'{"who": "the test"}', LogType="Tail")
    lines = base64.b64decode(answer["LogResult"]).decode().splitlines()
    request_id = answer["ResponseMetadata"]["RequestId"]
    assert f"START RequestId: {request_id} Version: $LATEST" in lines
    assert "hello from the test" in lines
    assert f"END RequestId: {request_id}" in lines
    (report,) = [line for line in lines if line.startswith("REPORT")]
    assert re.search(r"Init Duration: [\d.]+ ms", report)
    again = aws.functions.invoke(FunctionName=name, Payload=b'{"who": "you"}', LogType="Tail")
    tail = base64.b64decode(again["LogResult"]).decode()
    assert "loading" not in tail, "a warm process does not load the module again"
    assert "Init Duration" not in tail
    assert "LogResult" not in aws.functions.invoke(FunctionName=name, Payload=b'{"who": "you"}')


def test_no_line_of_a_chatty_function_is_lost(aws, make, call):
    name = make(handler("for number in range(event): print(f'{number:099}')", "return 1"), Timeout=300)
    assert call(name, 200_000) == (1, None)
    group = f"/aws/lambda/{name}"

    def is_reported():
        streams = aws.logs.describe_log_streams(logGroupName=group)["logStreams"]
        tail = aws.logs.get_log_events(logGroupName=group, logStreamName=streams[0]["logStreamName"], limit=1)
        return any(event["message"].startswith("REPORT") for event in tail["events"])

    wait_for(is_reported, what="the last line")
    pages = aws.logs.get_paginator("filter_log_events").paginate(logGroupName=group)
    lines = [event["message"].strip() for page in pages for event in page["events"]]
    assert [int(line) for line in lines if line.isdigit()] == list(range(200_000))


def test_a_dry_run_does_nothing(aws, make):
    name = make(handler("raise ValueError('it ran')"))
    answer = aws.functions.invoke(FunctionName=name, InvocationType="DryRun", LogType="None")
    assert answer["StatusCode"] == 204
    assert answer["Payload"].read() == b""


def test_an_event_runs_later(aws, make):
    name = make(handler("print('ran with', event['number'])"))
    answer = aws.functions.invoke(FunctionName=name, InvocationType="Event", Payload=b'{"number": 41}')
    assert answer["StatusCode"] == 202
    assert answer["Payload"].read() == b""

    def line():
        try:
            events = aws.logs.filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
        except aws.logs.exceptions.ResourceNotFoundException:
            return False
        return "ran with 41" in [event["message"].strip() for event in events]

    wait_for(line, what="the line of the event")


def test_eight_at_once_run_at_once(make, call, tmp_path):
    """Each waits for all the others, so one after another would never end."""
    name = make(
        handler(
            "open(os.path.join(event['folder'], str(event['number'])), 'w').close()",
            "while len(os.listdir(event['folder'])) < 8: time.sleep(0.01)",
            "return [event['number'], os.getpid()]",
        )
    )
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda number: call(name, {"folder": str(tmp_path), "number": number}), range(8)))
    assert [result[0] for result, _ in results] == list(range(8))
    assert len({result[1] for result, _ in results}) == 8


def test_a_reserved_concurrency_of_zero_throttles(aws, make):
    name = make(handler("return 1"))
    aws.functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    code, status, _ = refused(aws.functions.invoke, FunctionName=name)
    assert (code, status) == ("TooManyRequestsException", 429)
    aws.functions.delete_function_concurrency(FunctionName=name)
    assert json.loads(aws.functions.invoke(FunctionName=name)["Payload"].read()) == 1


def test_an_unknown_function_is_not_found(aws):
    code, status, message = refused(aws.functions.invoke, FunctionName="nobody")
    assert (code, status) == ("ResourceNotFoundException", 404)
    assert message == "Function not found: arn:aws:lambda:us-east-1:000000000000:function:nobody"


def test_a_payload_that_is_not_json_is_refused(aws, make):
    code, status, message = refused(aws.functions.invoke, FunctionName=make(handler("return 1")), Payload=b"{oops")
    assert (code, status) == ("InvalidRequestContentException", 400)
    assert message.startswith("Could not parse request body into json")


def test_a_payload_of_more_than_six_megabytes_is_refused(aws, make):
    payload = json.dumps("x" * (6 * 1024 * 1024)).encode()
    code, status, _ = refused(aws.functions.invoke, FunctionName=make(handler("return 1")), Payload=payload)
    assert (code, status) == ("RequestEntityTooLargeException", 413)


# Code, configuration, versions


def test_code_and_configuration_are_updated(aws, make, call):
    name = make(handler("return 'old'"))
    assert call(name) == ("old", None)
    updated = aws.functions.update_function_code(
        FunctionName=name, ZipFile=zipped(app_py=handler("return os.environ['WHO']"))
    )
    assert updated["CodeSize"] > 0
    active(aws.functions, name)
    aws.functions.update_function_configuration(
        FunctionName=name, Environment={"Variables": {"WHO": "new"}}, Timeout=7, MemorySize=256
    )
    configuration = active(aws.functions, name)
    assert (configuration["Timeout"], configuration["MemorySize"]) == (7, 256)
    assert call(name) == ("new", None)
    described = aws.functions.get_function(FunctionName=name)["Configuration"]
    assert described["CodeSha256"] == updated["CodeSha256"]
    assert name in [
        function["FunctionName"]
        for page in aws.functions.get_paginator("list_functions").paginate()
        for function in page["Functions"]
    ]


def test_versions_stay_and_aliases_move(aws, make, call):
    name = make(handler("return 'first'"))
    first = aws.functions.publish_version(FunctionName=name, Description="one")
    assert (first["Version"], first["FunctionArn"].rpartition(":")[2]) == ("1", "1")
    aws.functions.update_function_code(FunctionName=name, ZipFile=zipped(app_py=handler("return 'second'")))
    active(aws.functions, name)
    second = aws.functions.publish_version(FunctionName=name)
    assert second["Version"] == "2"
    aws.functions.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    assert call(name, Qualifier="live") == ("first", None)
    aws.functions.update_alias(FunctionName=name, Name="live", FunctionVersion="2")
    answer = aws.functions.invoke(FunctionName=f"{name}:live")
    assert (json.loads(answer["Payload"].read()), answer["ExecutedVersion"]) == ("second", "2")
    assert call(name, Qualifier="1") == ("first", None)
    versions = aws.functions.list_versions_by_function(FunctionName=name)["Versions"]
    assert [version["Version"] for version in versions] == ["$LATEST", "1", "2"]
    assert refused(aws.functions.invoke, FunctionName=name, Qualifier="3")[0] == "ResourceNotFoundException"


@pytest.mark.parametrize("key", ["AWS_ACCESS_KEY_ID", "AWS_REGION", "AWS_LAMBDA_RUNTIME_API", "_HANDLER"])
def test_reserved_variables_are_refused(aws, key):
    code, status, message = refused(
        aws.functions.create_function,
        FunctionName=unique("reserved"),
        Runtime="python3.11",
        Role=ROLE,
        Handler="app.handler",
        Code={"ZipFile": zipped(app_py=handler("return 1"))},
        Environment={"Variables": {key: "x"}},
    )
    assert (code, status) == ("InvalidParameterValueException", 400)
    assert "reserved keys" in message
    assert key in message


def test_a_zip_that_is_none_is_refused(aws):
    code, status, _ = refused(
        aws.functions.create_function,
        FunctionName=unique("broken"),
        Runtime="python3.11",
        Role=ROLE,
        Handler="app.handler",
        Code={"ZipFile": b"PK\x03\x04 and nothing more"},
    )
    assert (code, status) == ("InvalidParameterValueException", 400)


def test_a_zip_that_climbs_out_of_its_folder_writes_nothing(aws, server):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("app.py", handler("return 1"))
        archive.writestr("../../../../climbed.txt", "out")
    code, status, message = refused(
        aws.functions.create_function,
        FunctionName=unique("climbing"),
        Runtime="python3.11",
        Role=ROLE,
        Handler="app.handler",
        Code={"ZipFile": buffer.getvalue()},
    )
    assert (code, status) == ("InvalidParameterValueException", 400)
    assert "climbed.txt" in message
    parents = [server.directory, *server.directory.parents][:4]
    assert not [path for parent in parents for path in parent.glob("climbed.txt")]
    assert not list(server.directory.rglob("climbed.txt"))


def test_a_package_may_lie_in_a_bucket(aws, s3, make, call):
    bucket = unique("packages")
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="app.zip", Body=zipped(app_py=handler("return 'from a bucket'")))
    name = unique("packaged")
    aws.functions.create_function(
        FunctionName=name,
        Runtime="python3.12",
        Role=ROLE,
        Handler="app.handler",
        Code={"S3Bucket": bucket, "S3Key": "app.zip"},
    )
    active(aws.functions, name)
    assert call(name) == ("from a bucket", None)


# Inside


def test_boto3_inside_reaches_this_server(make, call):
    name = make(
        "import boto3\n\ndef handler(event, context):\n"
        "    identity = boto3.client('sts').get_caller_identity()\n"
        "    boto3.client('s3').create_bucket(Bucket=event)\n"
        "    return [identity['Account'], [one['Name'] for one in boto3.client('s3').list_buckets()['Buckets']]]\n"
    )
    bucket = unique("inside")
    (account, buckets), error = call(name, bucket)
    assert error is None
    assert account == "000000000000"
    assert bucket in buckets


def test_the_context_and_the_variables_are_lambdas(make, call):
    name = make(
        handler(
            "names = ['AWS_LAMBDA_FUNCTION_NAME', 'AWS_LAMBDA_FUNCTION_VERSION', 'AWS_LAMBDA_FUNCTION_MEMORY_SIZE',"
            " 'AWS_REGION', '_HANDLER', 'LAMBDA_TASK_ROOT', 'AWS_LAMBDA_LOG_GROUP_NAME', 'WHO']",
            "context_of = [context.function_name, context.memory_limit_in_mb, context.invoked_function_arn,"
            " context.log_group_name, len(context.aws_request_id), context.get_remaining_time_in_millis() <= 30000]",
            "return [{name: os.environ.get(name) for name in names}, context_of]",
        ),
        Environment={"Variables": {"WHO": "me"}},
    )
    (variables, context), error = call(name)
    assert error is None
    assert variables.pop("LAMBDA_TASK_ROOT")
    assert variables == {
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
        "AWS_REGION": "us-east-1",
        "_HANDLER": "app.handler",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{name}",
        "WHO": "me",
    }
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
    assert context == [name, "512", arn, f"/aws/lambda/{name}", 36, True]


def test_the_servers_own_variables_stay_out(make, call):
    """A function sees its own environment, not the operator's."""
    variables, _ = call(make(handler("return sorted(os.environ)")))
    assert not [name for name in variables if name.startswith(("SCONES_", "PYTEST_"))]


SHARED_TMP = "functions see this machine's /tmp"


def test_a_server_whose_functions_share_tmp_says_so_once():
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        server = Server(pathlib.Path(directory) / "data")
        server.variables = {"SCONES_LOG": "info"}
        functions = server.start().client("lambda")
        for name in ["one", "two"]:
            create_function(functions, name, handler("return 1"))
            assert functions.invoke(FunctionName=name)["Payload"].read() == b"1"
        server.stop()
        assert server.log().count(SHARED_TMP) == 1


def test_tmp_is_each_workers_own():
    bind = ["unshare", "--user", "--map-root-user", "--mount", "mount", "--bind", "/var/tmp", "/tmp"]
    if sys.platform != "linux" or subprocess.run(bind, capture_output=True).returncode:
        pytest.skip("the kernel keeps users from namespaces")
    source = handler(
        "open('/tmp/image.png', 'w').write(event['name'])",
        "open(os.path.join(event['gate'], event['name']), 'w').close()",
        "while len(os.listdir(event['gate'])) < 2: time.sleep(0.01)",
        "return open('/tmp/image.png').read(), os.listdir(os.environ['TMPDIR']), os.getuid()",
    )
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        gate = pathlib.Path(directory) / "gate"
        gate.mkdir()
        server = Server(pathlib.Path(directory) / "data")
        # What lies in /tmp would be hidden by a /tmp of its own.
        server.program = shutil.copy(PROGRAM, directory)
        path = [folder for folder in os.environ["PATH"].split(os.pathsep) if not folder.startswith("/tmp/")]
        server.variables = {"SCONES_LOG": "info", "PATH": os.pathsep.join(path)}
        functions = server.start().client("lambda")
        create_function(functions, "own-tmp", source)

        def invoke(name):
            answer = functions.invoke(FunctionName="own-tmp", Payload=json.dumps({"name": name, "gate": str(gate)}))
            return json.loads(answer["Payload"].read())

        with concurrent.futures.ThreadPoolExecutor() as threads:
            answers = list(threads.map(invoke, ["a", "b"]))
        server.stop()
        assert SHARED_TMP not in server.log()
    assert answers == [["a", ["image.png"], os.getuid()], ["b", ["image.png"], os.getuid()]]
    assert not os.path.exists("/tmp/image.png")
