"""The answers' shapes: the check itself, and every operation of every service that is checked."""

import re
import types

import botocore.session
import pytest
from botocore.exceptions import ClientError

import shapes
from harness import ROOT, refused

# boto3's names, and the chapters of docs/coverage.md.
SERVICES = {
    "sagemaker": "SageMaker",
    "stepfunctions": "Step Functions",
    "lambda": "Lambda",
    "logs": "CloudWatch Logs",
}
NOBODY = "nobody"
ARNS = {
    "sagemaker": "arn:aws:sagemaker:us-east-1:000000000000:endpoint/nobody",
    "stepfunctions": "arn:aws:states:us-east-1:000000000000:stateMachine:nobody",
    "lambda": "arn:aws:lambda:us-east-1:000000000000:function:nobody",
    "logs": "arn:aws:logs:us-east-1:000000000000:log-group:nobody",
}
models = botocore.session.get_session()


# The check


def answer(service, operation, status, body, headers=()):
    """Puts a made-up answer to the check."""
    model = models.get_service_model(service).operation_model(operation)
    shapes.check_answer(model, {"status_code": status, "headers": dict(headers), "body": body})


@pytest.mark.parametrize(
    ("service", "operation", "status", "body"),
    [
        ("stepfunctions", "StartExecution", 200, b'{"executionArn": "arn", "startDate": 1.5}'),
        ("stepfunctions", "StartExecution", 400, b'{"__type": "ExecutionLimitExceeded", "message": "many"}'),
        ("stepfunctions", "StartExecution", 400, b'{"__type": "x.y#InvalidName", "message": "bad"}'),
        ("stepfunctions", "StartExecution", 501, b'{"__type": "NotImplemented", "message": "not built"}'),
        ("sagemaker", "DeleteModel", 200, b""),
        ("lambda", "Invoke", 200, b"any payload"),
    ],
)
def test_a_good_answer_passes(service, operation, status, body):
    answer(service, operation, status, body)


@pytest.mark.parametrize(
    ("service", "operation", "status", "body", "said"),
    [
        ("stepfunctions", "StartExecution", 200, b'{"executionArn": "arn"}', ".startDate is required"),
        ("stepfunctions", "StartExecution", 200, b'{"executionArn": 1, "startDate": 1}', "not a string"),
        ("stepfunctions", "StartExecution", 200, b'{"executionArn": "", "startDate": "2026"}', "not a timestamp"),
        ("stepfunctions", "StartExecution", 200, b'{"executionArn": null, "startDate": 1}', "not a string"),
        (
            "stepfunctions",
            "StartExecution",
            200,
            b'{"executionarn": "", "startDate": 1}',
            ".executionarn is not in the model",
        ),
        ("stepfunctions", "StartExecution", 200, b"<xml/>", "is not JSON"),
        ("stepfunctions", "StartExecution", 400, b'{"__type": "Oops", "message": "x"}', "the error Oops is none of"),
        ("stepfunctions", "StartExecution", 400, b'{"__type": "InvalidName"}', "has no message"),
        ("stepfunctions", "StartExecution", 400, b"{}", "an error without a code"),
        ("lambda", "GetFunction", 400, b'{"Type": "User", "Message": "x"}', "has status 400, not 404"),
        ("sagemaker", "ListModels", 200, b'{"Models": [{"ModelName": "m"}]}', ".Models[0].ModelArn is required"),
        ("sagemaker", "ListModels", 200, b'{"Models": {}}', "not a list"),
        ("sagemaker", "DeleteModel", 200, b'{"Done": true}', "an operation without output"),
        (
            "stepfunctions",
            "DescribeExecution",
            200,
            b'{"executionArn": "", "stateMachineArn": "", "status": "FINE", "startDate": 1}',
            ".status is 'FINE', none of",
        ),
    ],
)
def test_a_bad_answer_fails(service, operation, status, body, said):
    headers = {"x-amzn-ErrorType": "ResourceNotFoundException"} if service == "lambda" else {}
    with pytest.raises(shapes.ShapeMismatch) as caught:
        answer(service, operation, status, body, headers)
    assert said in str(caught.value)


def test_clients_are_watched(aws):
    """A client of the harness does not accept what the check refuses."""
    client = types.SimpleNamespace(meta=aws.sagemaker.meta)
    model = client.meta.service_model.operation_model("ListModels")
    bad = {"status_code": 200, "headers": {}, "body": b'{"Models": 1}'}
    with pytest.raises(shapes.ShapeMismatch):
        client.meta.events.emit("before-parse.sagemaker.ListModels", operation_model=model, response_dict=bad)


# Every operation


def minimal(shape, arn, path=()):
    """The least input that botocore lets through: required members only, about a thing that is not there."""
    kind = shape.type_name
    if kind == "structure":
        required = shape.required_members
        if getattr(shape, "is_tagged_union", False) and not required:
            required = [next(iter(shape.members))]
        if shape.name in path:
            return {}
        return {name: minimal(shape.members[name], arn, (*path, shape.name)) for name in required}
    if kind == "list":
        return [minimal(shape.member, arn, path) for _ in range(max(1, shape.metadata.get("min", 0)))]
    if kind == "map":
        return {}
    if kind == "string":
        if shape.enum:
            return shape.enum[0]
        text = arn if "arn" in shape.name.lower() else NOBODY
        return text.ljust(shape.metadata.get("min", 0), "x")
    if kind == "boolean":
        return False
    if kind == "timestamp":
        return 1_700_000_000
    if kind == "blob":
        return b"{}"
    return shape.metadata.get("min", 1)


def documented(title):
    """The operations that docs/coverage.md says are built."""
    (section,) = re.findall(rf"^## {title}$(.*?)(?=^## |\Z)", (ROOT / "docs/coverage.md").read_text(), re.M | re.S)
    (table,) = re.findall(r"^\| Operation .*\n\|[-|]+\n((?:\|.*\n)+)", section, re.M)
    cells = [row.split("|")[1] for row in table.splitlines()]
    return {name for cell in cells if "(runtime)" not in cell for name in re.findall(r"[A-Z]\w+", cell)}


@pytest.mark.parametrize("service", SERVICES)
def test_every_operation_answers_in_form_or_says_that_it_is_not_built(own_server, service):
    client = own_server.client(service, read_timeout=30)
    built, wrong = set(), []
    for operation in client.meta.service_model.operation_names:
        model = client.meta.service_model.operation_model(operation)
        call = getattr(client, botocore.xform_name(operation))
        arguments = minimal(model.input_shape, ARNS[service]) if model.input_shape else {}
        try:
            call(**arguments)
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
            if (status, code) == (501, "NotImplemented") and operation in message:
                continue
            # A part of an operation may be refused too, in words of its own.
            if status >= 500 and not (code == "NotImplemented" and operation in documented(SERVICES[service])):
                wrong.append(f"{operation}: {status} {code}: {message}")
        except Exception as error:  # A shape mismatch or a broken connection.
            wrong.append(f"{operation}: {type(error).__name__}: {error}")
        built.add(operation)
    assert not wrong, "\n".join(wrong)
    assert built == documented(SERVICES[service])


CONSTRAINTS = {
    "sagemaker": "ValidationException",
    "stepfunctions": "ValidationException",
    "logs": "InvalidParameterException",
}


@pytest.mark.parametrize("service", CONSTRAINTS)
def test_every_required_member_is_missed_by_its_name(own_server, service):
    client = own_server.client(service, parameter_validation=False)
    wrong = []
    for operation in documented(SERVICES[service]):
        shape = client.meta.service_model.operation_model(operation).input_shape
        whole = minimal(shape, ARNS[service])
        for member in shape.required_members:
            without = {name: value for name, value in whole.items() if name != member}
            code, status, message = refused(getattr(client, botocore.xform_name(operation)), **without)
            named = f"Value null at '{member[0].lower()}{member[1:]}' failed to satisfy constraint: Member must not be null"
            if (code, status) != (CONSTRAINTS[service], 400) or named not in message:
                wrong.append(f"{operation} without {member}: {status} {code}: {message}")
    assert not wrong, "\n".join(wrong)
