"""Runs a Python function: fetches invocations from the Lambda Runtime API,
calls the handler, and answers. It needs Python 3.8 or newer and nothing else.

Usage: python3 bootstrap.py, with the environment that the server sets up.
"""

import decimal
import http.client
import importlib
import json
import logging
import os
import sys
import time
import traceback
import uuid

API = "/2018-06-01/runtime"
TASK_ROOT = os.environ["LAMBDA_TASK_ROOT"]


def as_on_aws(path):
    """A path inside the function's code as tracebacks on AWS show it."""
    own = TASK_ROOT + os.sep
    return "/var/task/" + path[len(own):] if path.startswith(own) else path


class RuntimeFault(Exception):
    """An error of the runtime itself rather than of the handler's code."""

    def __init__(self, kind, message, trace=None):
        super().__init__(message)
        self.kind = kind
        self.trace = trace


class CognitoIdentity:
    """The caller's Amazon Cognito identity; there is none here."""

    cognito_identity_id = None
    cognito_identity_pool_id = None


class _Record:
    """A part of the client context: absent members are None."""

    def __init__(self, members, names):
        for name in names:
            setattr(self, name, members.get(name))


class ClientContext:
    """What a mobile client told about itself."""

    def __init__(self, members):
        client = members.get("client")
        names = ("installation_id", "app_title", "app_version_name", "app_version_code", "app_package_name")
        self.client = None if client is None else _Record(client, names)
        self.custom = members.get("custom")
        self.env = members.get("env")


class LambdaContext:
    """The handler's second argument."""

    def __init__(self, headers):
        self.aws_request_id = headers["Lambda-Runtime-Aws-Request-Id"]
        self.invoked_function_arn = headers["Lambda-Runtime-Invoked-Function-Arn"]
        self._deadline_ms = int(headers["Lambda-Runtime-Deadline-Ms"])
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = os.environ["AWS_LAMBDA_FUNCTION_VERSION"]
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        self.identity = CognitoIdentity()
        self.client_context = None
        self.tenant_id = None
        text = headers.get("Lambda-Runtime-Client-Context")
        if text:
            try:
                self.client_context = ClientContext(json.loads(text))
            except Exception as error:
                message = "Unable to parse Client Context JSON: {}".format(error)
                raise RuntimeFault("Runtime.LambdaContextUnmarshalError", message)

    def get_remaining_time_in_millis(self):
        """Milliseconds until the invocation is ended, never below zero."""
        return max(self._deadline_ms - int(time.time() * 1000), 0)

    def log(self, message):
        """Writes a line to the function's log."""
        sys.stdout.write(str(message))

    def __repr__(self):
        return "LambdaContext({})".format(vars(self))


class Encoder:
    """Writes results as AWS's runtime does, which is more than the json module
    takes: Decimal becomes a number, bytes become text, a named tuple becomes
    an object."""

    def __init__(self):
        # Since 3.12 AWS's runtime leaves characters beyond ASCII as they are.
        version = os.environ.get("AWS_EXECUTION_ENV", "").rpartition("python3.")[2]
        self.ascii = not (version.isdigit() and int(version) >= 12)
        # Decimals are written as marked strings first and unmarked afterwards,
        # because the json module cannot write a number digit by digit.
        self.mark = uuid.uuid4().hex
        self.decimals = []

    def encode(self, value):
        """The JSON text of a value."""
        self.decimals = []
        text = json.dumps(self._plain(value, set()), ensure_ascii=self.ascii)
        for index, digits in enumerate(self.decimals):
            text = text.replace('"{}-{}."'.format(self.mark, index), digits, 1)
        return text

    def _plain(self, value, parents):
        if isinstance(value, bytes):
            return value.decode("utf-8")
        if isinstance(value, decimal.Decimal):
            if value.is_nan():
                return float("nan")
            self.decimals.append(str(value))
            return "{}-{}.".format(self.mark, len(self.decimals) - 1)
        if not isinstance(value, (dict, list, tuple)):
            return value
        if id(value) in parents:
            raise ValueError("Circular reference detected")
        parents.add(id(value))
        try:
            if isinstance(value, tuple) and hasattr(value, "_asdict"):
                value = value._asdict()
            if isinstance(value, dict):
                return {
                    key.decode("utf-8") if isinstance(key, bytes) else key: self._plain(member, parents)
                    for key, member in value.items()
                }
            return [self._plain(member, parents) for member in value]
        finally:
            parents.discard(id(value))


class Runtime:
    """One connection to the Runtime API."""

    def __init__(self, address):
        self.connection = http.client.HTTPConnection(address)

    def next(self):
        """Waits for the next invocation: its headers and its body."""
        self.connection.request("GET", API + "/invocation/next")
        response = self.connection.getresponse()
        body = response.read()
        if response.status != 200:
            sys.exit(0)
        return response.headers, body

    def post(self, path, body, headers):
        """Sends an answer."""
        self.connection.request("POST", API + path, body, headers)
        self.connection.getresponse().read()

    def post_error(self, path, error):
        """Sends an error."""
        headers = {"Content-Type": "application/json", "Lambda-Runtime-Function-Error-Type": "Unhandled"}
        self.post(path, Encoder().encode(error).encode("utf-8", "surrogatepass"), headers)


class RequestIdFilter(logging.Filter):
    """Gives each log record the request that it belongs to."""

    request_id = ""

    def filter(self, record):
        record.aws_request_id = RequestIdFilter.request_id
        return True


class LineFormatter(logging.Formatter):
    """Formats log records with tracebacks as on AWS."""

    def formatException(self, ei):
        return super().formatException(ei).replace('"' + TASK_ROOT + os.sep, '"/var/task/')


class StandardOutputHandler(logging.Handler):
    """Writes log records to whatever sys.stdout is at that moment."""

    def emit(self, record):
        sys.stdout.write(self.format(record))


def set_up_logging():
    """Installs the root handler with AWS's line format."""
    logging.Formatter.converter = time.gmtime
    line = "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n"
    handler = StandardOutputHandler()
    handler.setFormatter(LineFormatter(line, "%Y-%m-%dT%H:%M:%S"))
    handler.addFilter(RequestIdFilter())
    logging.getLogger().addHandler(handler)


def load_handler(name):
    """Finds `module.function`; slashes may stand for the module's dots."""
    module_name, dot, function_name = name.rpartition(".")
    if not dot:
        message = "Bad handler '{}': not enough values to unpack (expected 2, got 1)".format(name)
        raise RuntimeFault("Runtime.MalformedHandlerName", message)
    if module_name.split(".")[0] in sys.builtin_module_names:
        message = "Cannot use built-in module {} as a handler module".format(module_name)
        raise RuntimeFault("Runtime.BuiltInModuleConflict", message)
    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except ImportError as error:
        message = "Unable to import module '{}': {}".format(module_name, error)
        raise RuntimeFault("Runtime.ImportModuleError", message)
    except SyntaxError as error:
        message = "Syntax error in module '{}': {}".format(module_name, error)
        place = '  File "{}" Line {}\n    {}'.format(as_on_aws(error.filename or ""), error.lineno, error.text)
        raise RuntimeFault("Runtime.UserCodeSyntaxError", message, [place])
    try:
        return getattr(module, function_name)
    except AttributeError:
        message = "Handler '{}' missing on module '{}'".format(function_name, module_name)
        raise RuntimeFault("Runtime.HandlerNotFound", message)


def describe(error, request_id):
    """An exception as AWS describes it to the caller."""
    if isinstance(error, RuntimeFault):
        kind, trace = error.kind, error.trace or []
    else:
        frames = traceback.extract_tb(error.__traceback__)
        own = os.path.abspath(__file__)
        while frames and os.path.abspath(frames[0].filename) == own:
            frames.pop(0)
        # An import adds frames of its own, which say nothing.
        frames = [frame for frame in frames if not frame.filename.startswith("<frozen importlib")]
        plain = [(as_on_aws(frame.filename), frame.lineno, frame.name, frame.line) for frame in frames]
        kind, trace = type(error).__name__, traceback.format_list(plain)
    return {"errorMessage": str(error), "errorType": kind, "requestId": request_id, "stackTrace": trace}


def log_error(error):
    """Logs an error as one event, as AWS does: carriage returns keep its lines
    together, and no-break spaces keep their indentation."""
    message = ": " + error["errorMessage"] if error["errorMessage"] else ""
    lines = ["[ERROR] " + error["errorType"] + message, "Traceback (most recent call last):"]
    for frame in error["stackTrace"]:
        for line in frame.splitlines():
            bare = line.lstrip(" ")
            lines.append("\u00a0" * (len(line) - len(bare)) + bare)
    sys.stdout.write("\r".join(lines).replace("\n", "\r") + "\n")


def answer(handler, headers, body):
    """Calls the handler and gives the result as bytes with its content type."""
    context = LambdaContext(headers)
    try:
        event = json.loads(body)
    except Exception as error:
        raise RuntimeFault("Runtime.UnmarshalError", "Unable to unmarshal input: {}".format(error))
    result = handler(event, context)
    if isinstance(result, bytes):
        return result, "application/unknown"
    try:
        return Encoder().encode(result).encode("utf-8"), "application/json"
    except Exception as error:
        raise RuntimeFault("Runtime.MarshalError", "Unable to marshal response: {}".format(error))


def main():
    """Loads the handler and serves invocations until the server ends it."""
    for stream in (sys.stdout, sys.stderr):
        # The log is UTF-8 whatever the locale, and a character that is not
        # text must not fail the function that prints it.
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", write_through=True)
    set_up_logging()
    runtime = Runtime(os.environ["AWS_LAMBDA_RUNTIME_API"])
    # The first place in the path is this file's own; the function's comes there.
    sys.path[0] = TASK_ROOT
    try:
        handler = load_handler(os.environ["_HANDLER"])
    except Exception as error:
        description = describe(error, "")
        log_error(description)
        runtime.post_error("/init/error", description)
        sys.exit(1)
    while True:
        headers, body = runtime.next()
        request_id = headers["Lambda-Runtime-Aws-Request-Id"]
        RequestIdFilter.request_id = request_id
        os.environ["_X_AMZN_TRACE_ID"] = headers.get("Lambda-Runtime-Trace-Id", "")
        try:
            result, content_type = answer(handler, headers, body)
        except Exception as error:
            description = describe(error, request_id)
            log_error(description)
            runtime.post_error("/invocation/{}/error".format(request_id), description)
        else:
            runtime.post("/invocation/{}/response".format(request_id), result, {"Content-Type": content_type})


if __name__ == "__main__":
    main()
