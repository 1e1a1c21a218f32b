"""The real program on a free port, and real AWS clients that point at it."""

import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import zipfile

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

import shapes

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("SCONES_PROGRAM", ROOT / "target" / "debug" / "scones"))
BIN = pathlib.Path(sys.executable).parent
ROLE = "arn:aws:iam::000000000000:role/service-role/AmazonSageMaker-ExecutionRole"


class Server:
    """A process of `scones up` on a data directory of its own."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.process = None
        self.program = PROGRAM
        self.listen = "127.0.0.1:0"
        self.options = []
        self.variables = {}

    def start(self):
        command = [self.program, "up", "--json", "--listen", self.listen, "--data-dir", self.directory, *self.options]
        with open(self.directory.with_suffix(".log"), "ab") as log:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, text=True, env=clean_environment(**self.variables)
            )
        ready = self.process.stdout.readline()
        assert ready, f"the server did not start: {self.log()}"
        self.endpoint = json.loads(ready)["endpoint"]
        # A restart comes back where its clients look for it.
        self.listen = self.endpoint.removeprefix("http://")
        self.environment = json.loads(run_program("env", "--json", "--data-dir", self.directory).stdout)
        return self

    def log(self):
        """What the server has said on stderr."""
        return self.directory.with_suffix(".log").read_text()

    def kill(self):
        """What a power cut or the kernel does: no chance to tidy up."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, timeout=30):
        """What an operator does; gives the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)

    def restart(self):
        self.kill()
        return self.start()

    def client(self, service, region_name=None, **config):
        """A client whose answers are checked against the service's model."""
        settings = {"retries": {"total_max_attempts": 1}, "inject_host_prefix": False, "max_pool_connections": 32}
        client = boto3.client(
            service,
            endpoint_url=self.endpoint,
            aws_access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"],
            region_name=region_name or self.environment["AWS_REGION"],
            config=Config(**{**settings, **config}),
        )
        shapes.watch(client)
        return client


class Clients:
    """A client of each service, made when it is first asked for."""

    SERVICES = {"runtime": "sagemaker-runtime", "functions": "lambda", "states": "stepfunctions"}

    def __init__(self, server):
        self._server = server

    def __getattr__(self, name):
        client = self._server.client(self.SERVICES.get(name, name))
        setattr(self, name, client)
        return client


def clean_environment(**more):
    """The environment without what a developer's shell says about AWS; `python3` is the one with boto3."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SCONES_", "SFN_"))}
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    return {**kept, "PATH": path, "AWS_EC2_METADATA_DISABLED": "true", **more}


def run_program(*arguments, check=True, **environment):
    """Runs a command of the program to its end."""
    result = subprocess.run(
        [PROGRAM, *arguments], capture_output=True, text=True, env=clean_environment(**environment), timeout=120
    )
    assert not check or result.returncode == 0, result.stderr
    return result


def wait_for(condition, timeout=60, what="the condition"):
    """Polls until `condition()` is true, and gives what it gave."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"{what} did not come true within {timeout} s")


def refused(call, **arguments):
    """Code, status and message of the error that a call must end with."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Message"]


def zipped(**files):
    """A zip of files by name; `handler_py="..."` becomes handler.py."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            stem, _, extension = name.rpartition("_")
            archive.writestr(f"{stem}.{extension}", text)
    return buffer.getvalue()


def create_function(functions, name, source, handler="app.handler", **settings):
    """A Python function of one module, app.py, once it is active; gives its name."""
    settings = {"Runtime": "python3.11", "Role": ROLE, "Timeout": 30, "MemorySize": 512, **settings}
    functions.create_function(FunctionName=name, Handler=handler, Code={"ZipFile": zipped(app_py=source)}, **settings)
    active(functions, name)
    return name


def active(functions, name):
    """The function's configuration once it is neither being created nor updated."""

    def configuration():
        configuration = functions.get_function_configuration(FunctionName=name)
        states = configuration["State"], configuration["LastUpdateStatus"]
        assert "Failed" not in states, configuration
        return configuration if states == ("Active", "Successful") else None

    return wait_for(configuration, what=f"the function {name} active")


def create_machine(states, name, definition):
    """A state machine; gives its ARN."""
    return states.create_state_machine(name=name, definition=json.dumps(definition), roleArn=ROLE)["stateMachineArn"]


def ended(states, execution, timeout=60):
    """The description of an execution when it has come to an end."""

    def description():
        description = states.describe_execution(executionArn=execution)
        return description if description["status"] != "RUNNING" else None

    return wait_for(description, timeout, f"the end of {execution}")


def history(states, execution):
    """All events of an execution."""
    pages = states.get_paginator("get_execution_history").paginate(executionArn=execution)
    return [event for page in pages for event in page["events"]]
