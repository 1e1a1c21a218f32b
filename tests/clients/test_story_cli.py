"""The story by the commands that a user types: the AWS CLI with nothing but `scones env`."""

import base64
import json
import re

import pytest

from harness import ROLE, ROOT, ended, wait_for, zipped
from story_data import IMAGE, finished, in_service, training_job, unique

EXAMPLE = ROOT / "examples" / "scones-unlimited"


@pytest.fixture
def aws_json(run_aws):
    """Runs a command; gives its document."""

    def run(*arguments):
        output = run_aws([*arguments, "--output", "json"]).stdout
        return json.loads(output) if output.strip() else None

    return run


def file(path, document):
    path.write_text(json.dumps(document))
    return f"file://{path}"


@pytest.mark.timeout(600)
def test_the_whole_story(aws, run_aws, aws_json, images, tmp_path):
    name = unique("cli")
    assert aws_json("sts", "get-caller-identity")["Account"] == "000000000000"

    # Data
    run_aws(["s3", "mb", f"s3://{name}"])
    run_aws(["s3", "sync", images.directory, f"s3://{name}", "--no-progress"])
    listed = run_aws(["s3", "ls", f"s3://{name}/train/"]).stdout.splitlines()
    assert len(listed) == 60
    assert run_aws(["s3", "sync", images.directory, f"s3://{name}", "--no-progress"]).stdout == "", "nothing is new"

    # Training
    created = aws_json(
        "sagemaker", "create-training-job", "--cli-input-json", file(tmp_path / "job.json", training_job(name, name))
    )
    assert created == {"TrainingJobArn": f"arn:aws:sagemaker:us-east-1:000000000000:training-job/{name}"}

    # The CLI's own `wait` looks every two minutes.
    finished(aws.sagemaker, name)
    run_aws(["sagemaker", "wait", "training-job-completed-or-stopped", "--training-job-name", name])
    job = aws_json("sagemaker", "describe-training-job", "--training-job-name", name)
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    group = "/aws/sagemaker/TrainingJobs"
    streams = aws_json(
        "logs", "describe-log-streams", "--log-group-name", group, "--log-stream-name-prefix", f"{name}/"
    )
    (stream,) = streams["logStreams"]
    events = aws_json(
        "logs",
        "get-log-events",
        "--log-group-name",
        group,
        "--log-stream-name",
        stream["logStreamName"],
        "--start-from-head",
    )["events"]
    assert [event for event in events if "Epoch[1] Validation-accuracy=" in event["message"]]
    model_data = job["ModelArtifacts"]["S3ModelArtifacts"]
    run_aws(["s3", "cp", model_data, tmp_path / "model.tar.gz", "--no-progress"])
    assert (tmp_path / "model.tar.gz").read_bytes().startswith(b"\x1f\x8b")

    # Hosting
    container = {"Image": IMAGE, "ModelDataUrl": model_data}
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": name,
        "InitialInstanceCount": 1,
        "InstanceType": "ml.m5.xlarge",
        "InitialVariantWeight": 1,
    }
    capture = {
        "EnableCapture": True,
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": f"s3://{name}/captured",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
    }
    run_aws(
        ["sagemaker", "create-model", "--model-name", name, "--execution-role-arn", ROLE]
        + ["--primary-container", json.dumps(container)]
    )
    run_aws(
        ["sagemaker", "create-endpoint-config", "--endpoint-config-name", name]
        + ["--production-variants", json.dumps([variant]), "--data-capture-config", json.dumps(capture)]
    )
    run_aws(["sagemaker", "create-endpoint", "--endpoint-name", name, "--endpoint-config-name", name])
    in_service(aws.sagemaker, name)
    run_aws(["sagemaker", "wait", "endpoint-in-service", "--endpoint-name", name])
    picture = images.validation["0"][0]
    answer = aws_json(
        *["sagemaker-runtime", "invoke-endpoint", "--endpoint-name", name, "--content-type", "image/png"],
        *["--body", f"fileb://{picture}", tmp_path / "answer.json"],
    )
    assert answer == {"ContentType": "application/json", "InvokedProductionVariant": "AllTraffic"}
    assert sum(json.loads((tmp_path / "answer.json").read_text())) == pytest.approx(1, abs=1e-5)
    failed = run_aws(
        ["sagemaker-runtime", "invoke-endpoint", "--endpoint-name", "nobody", "--content-type", "image/png"]
        + ["--body", f"fileb://{picture}", tmp_path / "none.json"],
        check=False,
    )
    assert failed.returncode == 255
    assert "(ValidationError) when calling the InvokeEndpoint operation" in failed.stderr

    # Functions
    functions = {}
    for module in ("serialize_image_data", "classify_image_data", "filter_inferences"):
        functions[module] = f"{name}-{module}"
        source = (EXAMPLE / "functions" / f"{module}.py").read_text()
        (tmp_path / f"{module}.zip").write_bytes(zipped(**{f"{module}_py": source}))
        created = aws_json(
            *["lambda", "create-function", "--function-name", functions[module], "--runtime", "python3.11"],
            *["--role", ROLE, "--handler", f"{module}.lambda_handler", "--timeout", "60"],
            *["--environment", f"Variables={{ENDPOINT={name},THRESHOLD=0.4}}"],
            *["--zip-file", f"fileb://{tmp_path / module}.zip"],
        )
        assert created["Handler"] == f"{module}.lambda_handler"
        run_aws(["lambda", "wait", "function-active-v2", "--function-name", functions[module]])
    start = {"s3_bucket": name, "s3_key": f"validation/{picture.name}"}
    answer = aws_json(
        *["lambda", "invoke", "--function-name", functions["serialize_image_data"], "--log-type", "Tail"],
        *["--payload", json.dumps(start), tmp_path / "serialized.json"],
    )
    assert (answer["StatusCode"], answer["ExecutedVersion"]) == (200, "$LATEST")
    assert re.search(r"^REPORT RequestId: ", base64.b64decode(answer["LogResult"]).decode(), re.M)
    serialized = json.loads((tmp_path / "serialized.json").read_text())
    assert base64.b64decode(serialized["body"]["image_data"]) == picture.read_bytes()

    # The workflow
    definition = (EXAMPLE / "state-machine.json").read_text()
    for module, camel in [
        ("serialize_image_data", "serializeImageData"),
        ("classify_image_data", "classifyImageData"),
        ("filter_inferences", "filterInferences"),
    ]:
        definition = definition.replace(f"function:{camel}:", f"function:{functions[module]}:")
    (tmp_path / "machine.json").write_text(definition)
    machine = aws_json(
        *["stepfunctions", "create-state-machine", "--name", name, "--role-arn", ROLE],
        *["--definition", f"file://{tmp_path / 'machine.json'}"],
    )["stateMachineArn"]
    execution = aws_json(
        "stepfunctions", "start-execution", "--state-machine-arn", machine, "--input", json.dumps(start)
    )["executionArn"]
    ended(aws.states, execution)
    ended_as = aws_json("stepfunctions", "describe-execution", "--execution-arn", execution)
    assert ended_as["status"] == "SUCCEEDED", ended_as
    assert sum(json.loads(ended_as["output"])["body"]["inferences"]) == pytest.approx(1, abs=1e-5)
    events = aws_json("stepfunctions", "get-execution-history", "--execution-arn", execution)["events"]
    assert len(events) == 17
    listed = wait_for(
        lambda: aws_json(
            *["stepfunctions", "list-executions", "--state-machine-arn", machine, "--status-filter", "SUCCEEDED"]
        )["executions"],
        what="the execution in the list",
    )
    assert [one["executionArn"] for one in listed] == [execution]
    lines = aws_json(
        *["logs", "filter-log-events", "--log-group-name", f"/aws/lambda/{functions['filter_inferences']}"],
        *["--filter-pattern", "REPORT"],
    )["events"]
    assert len(lines) == 1

    # The captured inferences
    run_captured = ["s3", "ls", "--recursive", f"s3://{name}/captured/{name}/AllTraffic/"]
    wait_for(lambda: run_aws(run_captured, check=False).stdout, what="the captured inferences")

    # The end
    run_aws(["stepfunctions", "delete-state-machine", "--state-machine-arn", machine])
    for function in functions.values():
        run_aws(["lambda", "delete-function", "--function-name", function])
    run_aws(["sagemaker", "delete-endpoint", "--endpoint-name", name])
    run_aws(["sagemaker", "delete-endpoint-config", "--endpoint-config-name", name])
    run_aws(["sagemaker", "delete-model", "--model-name", name])
    wait_for(lambda: not aws.sagemaker.list_endpoints(NameContains=name)["Endpoints"], what="the endpoint gone")
    run_aws(["s3", "rb", "--force", f"s3://{name}"])
    assert name not in run_aws(["s3", "ls"]).stdout


def test_operations_with_a_host_prefix_work_with_scones_env(aws_json):
    """`scones env` switches the prefix off that clients would put before the host."""
    name = unique("express")
    definition = {"StartAt": "Pass", "States": {"Pass": {"Type": "Pass", "Result": 42, "End": True}}}
    machine = aws_json(
        *["stepfunctions", "create-state-machine", "--name", name, "--type", "EXPRESS", "--role-arn", ROLE],
        *["--definition", json.dumps(definition)],
    )["stateMachineArn"]
    ended = aws_json("stepfunctions", "start-sync-execution", "--state-machine-arn", machine, "--input", "{}")
    assert (ended["status"], ended["output"]) == ("SUCCEEDED", "42")


def test_what_is_not_built_says_so(run_aws):
    result = run_aws(["sagemaker", "list-notebook-instances"], check=False)
    assert result.returncode == 255
    assert "(NotImplemented) when calling the ListNotebookInstances operation" in result.stderr
    assert "ListNotebookInstances" in result.stderr.split("operation", 1)[1]
