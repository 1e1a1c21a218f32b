"""Checks answers, as they are on the wire, against botocore's own service models.

botocore forgives: it drops members that it does not know and does not miss
members that are required. A typed client of another language does neither.
"""

import json

SERVICES = ("sagemaker", "sagemaker-runtime", "sfn", "lambda", "cloudwatch-logs")

# https://docs.aws.amazon.com/awssupport/latest/APIReference/CommonErrors.html
COMMON_ERRORS = {
    "AccessDeniedException",
    "ExpiredTokenException",
    "IncompleteSignatureException",
    "InvalidSignatureException",
    "MissingAuthenticationTokenException",
    "NotImplemented",
    "SerializationException",
    "ThrottlingException",
    "UnknownOperationException",
    "UnrecognizedClientException",
    "ValidationException",
}
# What AWS answers although its own model does not say so: Lambda's for a payload of more than 6 MB.
UNMODELLED_ERRORS = {"RequestEntityTooLargeException"}
# What the model requires and AWS leaves out: a training job that has no model yet describes none.
LEFT_OUT = {"DescribeTrainingJob": {"ModelArtifacts"}}
NUMBERS = {"integer": int, "long": int, "float": (int, float), "double": (int, float)}


class ShapeMismatch(AssertionError):
    """An answer that the service model does not allow."""


def watch(client):
    """From now on a malformed answer fails the call."""
    for service in SERVICES:
        client.meta.events.register(f"before-parse.{service}.*", check_answer)


def check_answer(operation_model, response_dict, **_):
    """A handler of botocore's `before-parse` event."""
    shape = operation_model.output_shape
    status = response_dict["status_code"]
    if operation_model.has_event_stream_output and status < 300:
        return
    headers = {name.lower(): value for name, value in response_dict["headers"].items()}
    raw = response_dict["body"]
    if status < 300 and shape is not None and "payload" in shape.serialization:
        return  # The body is the payload itself, of any form.
    problems = []
    body = {}
    if raw:
        try:
            body = json.loads(raw)
        except ValueError:
            problems.append(f"the body is not JSON: {raw[:200]!r}")
    if status >= 300:
        problems += error_problems(operation_model, status, headers, body)
    elif shape is None:
        problems += [f"an operation without output answers {body!r}"] if body else []
    else:
        members, required = in_body(shape)
        left_out = LEFT_OUT.get(operation_model.name, set())
        problems += problems_of((members, [name for name in required if name not in left_out]), body, "")
    if problems:
        name = f"{operation_model.service_model.service_name} {operation_model.name}"
        raise ShapeMismatch(f"{name} ({status}): " + "; ".join(problems))


def error_problems(operation_model, status, headers, body):
    """The code is one that the operation can answer, with the status that it has."""
    code = headers.get("x-amzn-errortype") or body.get("__type") or body.get("code") or ""
    code = code.split(":")[0].rpartition("#")[2]
    modelled = {shape.error_code: shape for shape in operation_model.error_shapes}
    modelled |= {shape.name: shape for shape in operation_model.error_shapes}
    problems = []
    if not code:
        problems.append(f"an error without a code: {body!r}")
    elif code not in modelled and code not in COMMON_ERRORS | UNMODELLED_ERRORS:
        problems.append(f"the error {code} is none of {sorted(modelled)}")
    if not (body.get("message") or body.get("Message")):
        problems.append(f"the error {code} has no message: {body!r}")
    if code in modelled:
        declared = modelled[code].metadata.get("error", {}).get("httpStatusCode")
        if declared and declared != status:
            problems.append(f"the error {code} has status {status}, not {declared}")
    return problems


def in_body(shape):
    """Members and required members, without those that travel in headers or in the status."""
    members = {name: member for name, member in shape.members.items() if "location" not in member.serialization}
    return members, [name for name in shape.required_members if name in members]


def problems_of(members, value, path):
    """What is wrong with a structure: unknown, missing or wrongly typed members."""
    known, required = members
    if not isinstance(value, dict):
        return [f"{path or 'the answer'} is {value!r}, not an object"]
    by_name = {member.serialization.get("name", name): member for name, member in known.items()}
    problems = [f"{path}.{name} is not in the model" for name in value if name not in by_name]
    problems += [f"{path}.{name} is required" for name in required if name not in value]
    for name, member in by_name.items():
        if name in value:
            problems += value_problems(member, value[name], f"{path}.{name}")
    return problems


def value_problems(shape, value, path):
    kind = shape.type_name
    wrong = [f"{path} is {value!r}, not a {kind}"]
    if getattr(shape, "is_document_type", False):
        return []
    if kind == "structure":
        return problems_of((shape.members, shape.required_members), value, path)
    if kind == "list":
        if not isinstance(value, list):
            return wrong
        return [
            problem for at, one in enumerate(value) for problem in value_problems(shape.member, one, f"{path}[{at}]")
        ]
    if kind == "map":
        if not isinstance(value, dict):
            return wrong
        return [problem for key, one in value.items() for problem in value_problems(shape.value, one, f"{path}.{key}")]
    if kind in ("string", "character", "blob"):
        if not isinstance(value, str):
            return wrong
        allowed = getattr(shape, "enum", None)
        return [f"{path} is {value!r}, none of {allowed}"] if allowed and value not in allowed else []
    if kind == "boolean":
        return [] if isinstance(value, bool) else wrong
    if kind == "timestamp":
        textual = shape.serialization.get("timestampFormat") in ("iso8601", "rfc822")
        good = isinstance(value, str) if textual else isinstance(value, (int, float)) and not isinstance(value, bool)
        return [] if good else wrong
    good = isinstance(value, NUMBERS[kind]) and not isinstance(value, bool)
    if not good:
        return wrong
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if (least is not None and value < least) or (most is not None and value > most):
        return [f"{path} is {value!r}, outside {least} to {most}"]
    return []
