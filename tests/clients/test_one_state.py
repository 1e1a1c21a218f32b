"""TestState as boto3 meets it: one state tried on its own."""

import http.server
import json
import threading

import pytest

from harness import ROLE, create_function, refused
from story_data import unique

INVOKE = "arn:aws:states:::lambda:invoke"
PAIRS = [("A", {"Type": "Pass", "End": True}), ("B", {"Type": "Succeed"})]


@pytest.fixture
def attempt(aws):
    """Tries a state; the answer without its metadata."""

    def test_state(state, **request):
        answer = aws.states.test_state(definition=json.dumps(state), **request)
        answer.pop("ResponseMetadata")
        return answer

    return test_state


def task(**fields):
    return {"Type": "Task", "Resource": INVOKE, "Parameters": {"FunctionName": "f"}, "End": True, **fields}


def mocked(result):
    return {"mock": {"result": json.dumps(result)}}


def failing(error):
    return {"mock": {"errorOutput": {"error": error, "cause": "because"}}}


def test_the_way_of_the_data_is_shown(attempt):
    state = task(InputPath="$.a", ResultSelector={"n.$": "$.Payload"}, ResultPath="$.r", Next="Then")
    del state["End"]
    answer = attempt(state, input='{"a": {"b": 1}}', inspectionLevel="DEBUG", **mocked({"Payload": 5}))
    data = {name: json.loads(text) for name, text in answer.pop("inspectionData").items()}
    assert data == {
        "input": {"a": {"b": 1}},
        "afterInputPath": {"b": 1},
        "afterParameters": {"FunctionName": "f"},
        "result": {"Payload": 5},
        "afterResultSelector": {"n": 5},
        "afterResultPath": {"a": {"b": 1}, "r": {"n": 5}},
    }
    assert json.loads(answer.pop("output")) == data["afterResultPath"]
    assert answer == {"status": "SUCCEEDED", "nextState": "Then"}


def test_a_failure_is_retried_and_then_caught(attempt):
    state = task(
        Retry=[{"ErrorEquals": ["Flaky"], "IntervalSeconds": 3, "MaxAttempts": 2}],
        Catch=[{"ErrorEquals": ["States.ALL"], "Next": "Rescue"}],
    )

    def after(retries):
        configuration = {"retrierRetryCount": retries}
        return attempt(state, inspectionLevel="DEBUG", stateConfiguration=configuration, **failing("Flaky"))

    again = after(1)
    assert (again["status"], again["error"], again["cause"]) == ("RETRIABLE", "Flaky", "because")
    assert again["inspectionData"]["errorDetails"] == {"retryIndex": 0, "retryBackoffIntervalSeconds": 6}
    caught = after(2)
    assert (caught["status"], caught["nextState"]) == ("CAUGHT_ERROR", "Rescue")
    assert caught["inspectionData"]["errorDetails"] == {"retryIndex": 0, "catchIndex": 0}


def test_maps_and_parallels_are_tried_with_mocks(attempt):
    processor = {"StartAt": "A", "States": {"A": PAIRS[0][1]}}
    processor["ProcessorConfig"] = {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
    state = {"Type": "Map", "ItemProcessor": processor, "ToleratedFailurePercentage": 50, "MaxConcurrency": 2, "End": True}
    answer = attempt(
        state,
        input="[1, 2]",
        inspectionLevel="TRACE",
        stateConfiguration={"mapIterationFailureCount": 2},
        **mocked([1, 2]),
    )
    assert (answer["status"], answer["error"]) == ("FAILED", "States.ExceedToleratedFailureThreshold")
    data = answer["inspectionData"]
    assert (data["toleratedFailurePercentage"], data["maxConcurrency"]) == (50.0, 2)
    branches = [{"StartAt": name, "States": {name: state}} for name, state in PAIRS]
    parallel = attempt({"Type": "Parallel", "Branches": branches, "End": True}, **mocked([1, 2]))
    assert json.loads(parallel["output"]) == [1, 2]


def test_a_task_without_a_mock_is_really_run(aws, attempt):
    name = create_function(aws.functions, unique("double"), "def handler(event, context):\n    return event * 2\n")
    state = task(Parameters={"FunctionName": name, "Payload.$": "$"}, OutputPath="$.Payload")
    assert attempt(state, input="21", roleArn=ROLE) == {"status": "SUCCEEDED", "output": "42"}


@pytest.fixture
def site():
    """A web server that answers `{"a": 1}` to everything; gives its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.send_response(201)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(b'{"a": 1}')

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_the_http_exchange_is_traced(attempt, site):
    parameters = {"ApiEndpoint": f"{site}/x", "Method": "POST", "QueryParameters": {"q": "1"}, "RequestBody": {"n.$": "$"}}
    state = {"Type": "Task", "Resource": "arn:aws:states:::http:invoke", "Parameters": parameters, "End": True}
    data = attempt(state, input="5", inspectionLevel="TRACE")["inspectionData"]
    request, response = data["request"], data["response"]
    assert (request["protocol"], request["method"], request["url"]) == ("http", "POST", f"{site}/x?q=1")
    assert (request["body"], response["body"]) == ('{"n":5}', '{"a": 1}')
    assert (response["statusCode"], response["statusMessage"]) == ("201", "Created")
    assert "content-type: [application/json]" in response["headers"]
    assert "request" not in attempt(state, input="5", inspectionLevel="DEBUG")["inspectionData"]


def test_a_state_within_a_machine(attempt):
    machine = {"StartAt": "Ask", "States": {"Ask": task(Catch=[{"ErrorEquals": ["E"], "Next": "B"}]), "B": {"Type": "Succeed"}}}
    assert attempt(machine, stateName="Ask", **failing("E"))["nextState"] == "B"
    answer = attempt(machine, stateName="B", input="7", variables='{"v": 1}', inspectionLevel="DEBUG")
    assert answer["inspectionData"] == {"input": "7", "afterInputPath": "7", "variables": '{"v":1}'}


@pytest.mark.parametrize(
    ("state", "request_", "code", "message"),
    [
        ({"Type": "Pass"}, {}, "InvalidDefinition", "Invalid State Machine Definition:"),
        ({"Type": "Succeed"}, {"input": "{"}, "InvalidExecutionInput", "Invalid State Machine Execution Input:"),
        ({"Type": "Succeed"}, mocked(1), "ValidationException", "State type 'Succeed' is not supported"),
        ({"Type": "Succeed"}, {"roleArn": "role"}, "InvalidArn", "Invalid Arn:"),
        (task(), mocked({"StatusCode": "200"}), "ValidationException", "Mock result schema validation error: Field 'StatusCode' must be a number"),
        (task(), {"context": '{"Map": {}}', **mocked({})}, "ValidationException", "Invalid Context object provided: 'Map' field"),
    ],
)
def test_refusals(aws, state, request_, code, message):
    refusal = refused(aws.states.test_state, definition=json.dumps(state), **request_)
    assert refusal[:2] == (code, 400)
    assert refusal[2].startswith(message)
