"""`kill -9` at bad moments, then a restart: nothing acknowledged is lost, nothing is half there."""

import concurrent.futures
import contextlib
import json
import os
import signal
import socket

import botocore.auth
import psutil
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

import story_data
from harness import ROLE, create_function, create_machine, ended, history, refused, wait_for

MIB = 1024 * 1024


def descendants(server):
    return psutil.Process(server.process.pid).children(recursive=True)


def none_lives(processes, timeout=10):
    wait_for(lambda: not [one for one in processes if is_alive(one)], timeout, f"the end of {processes}")


def is_alive(process):
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def bytes_kept(directory):
    """What the data directory takes beside the database."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file() and "sqlite" not in path.name)


# Objects


def begin_upload(server, bucket, key, body):
    """Sends half of an upload, signed as a whole, and keeps the connection open."""
    request = AWSRequest("PUT", f"{server.endpoint}/{bucket}/{key}", {"Content-Length": str(len(body))}, body)
    credentials = Credentials(server.environment["AWS_ACCESS_KEY_ID"], server.environment["AWS_SECRET_ACCESS_KEY"])
    botocore.auth.S3SigV4Auth(credentials, "s3", "us-east-1").add_auth(request)
    host, _, port = server.listen.partition(":")
    head = f"PUT /{bucket}/{key} HTTP/1.1\r\nHost: {server.listen}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in request.headers.items()) + "\r\n"
    connection = socket.create_connection((host, int(port)))
    connection.sendall(head.encode() + body[: len(body) // 2])
    return connection


def test_a_kill_during_an_upload_leaves_nothing(own_server, own):
    own.s3.create_bucket(Bucket="uploads")
    own.s3.put_object(Bucket="uploads", Key="replaced", Body=b"the old content")
    before = bytes_kept(own_server.directory)
    body = os.urandom(8 * MIB)
    connections = [begin_upload(own_server, "uploads", key, body) for key in ("new", "replaced")]
    wait_for(lambda: bytes_kept(own_server.directory) > before + MIB, what="the first half on the disk")
    own_server.restart()
    for connection in connections:
        connection.close()
    listed = own.s3.list_objects_v2(Bucket="uploads")
    assert [item["Key"] for item in listed["Contents"]] == ["replaced"]
    assert own.s3.get_object(Bucket="uploads", Key="replaced")["Body"].read() == b"the old content"
    wait_for(lambda: bytes_kept(own_server.directory) < before + MIB, what="the halves swept away")
    own.s3.put_object(Bucket="uploads", Key="new", Body=body)
    assert own.s3.get_object(Bucket="uploads", Key="new")["Body"].read() == body


def test_what_was_acknowledged_is_there(own_server, own):
    """Clients write as fast as they can until the server dies under them."""
    own.s3.create_bucket(Bucket="acknowledged")

    def write(worker):
        keys = []
        for number in range(10_000):
            key = f"{worker}/{number}"
            try:
                own.s3.put_object(Bucket="acknowledged", Key=key, Body=key.encode())
            except Exception:  # The server is gone; what it had not answered may be lost.
                return keys
            keys.append(key)
            if number == 20:
                started.append(worker)
        return keys

    started = []
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(write, worker) for worker in range(4)]
        wait_for(lambda: len(started) == 4, what="some objects of every writer")
        own_server.kill()
        acknowledged = [key for writer in writers for key in writer.result()]
    assert len(acknowledged) > 80
    own_server.start()
    pages = own.s3.get_paginator("list_objects_v2").paginate(Bucket="acknowledged")
    listed = {item["Key"] for page in pages for item in page.get("Contents", [])}
    assert set(acknowledged) <= listed
    for key in listed:
        assert own.s3.get_object(Bucket="acknowledged", Key=key)["Body"].read() == key.encode()


def test_a_multipart_upload_goes_on(own_server, own):
    own.s3.create_bucket(Bucket="parts")
    upload = {"Bucket": "parts", "Key": "whole"}
    upload["UploadId"] = own.s3.create_multipart_upload(**upload)["UploadId"]
    parts = [os.urandom(5 * MIB), os.urandom(MIB)]
    etags = []
    for number, part in enumerate(parts, 1):
        etags.append(own.s3.upload_part(**upload, PartNumber=number, Body=part)["ETag"])
        own_server.restart()
    listed = own.s3.list_parts(**upload)["Parts"]
    assert [(part["PartNumber"], part["ETag"], part["Size"]) for part in listed] == [
        (1, etags[0], 5 * MIB),
        (2, etags[1], MIB),
    ]
    complete = {"Parts": [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]}
    own.s3.complete_multipart_upload(**upload, MultipartUpload=complete)
    own_server.restart()
    assert own.s3.get_object(Bucket="parts", Key="whole")["Body"].read() == b"".join(parts)


# Names


def test_everything_with_a_name_is_there_again(own_server, own):
    passes = {"StartAt": "Pass", "States": {"Pass": {"Type": "Pass", "Result": "done", "End": True}}}
    machine = create_machine(own.states, "machine", passes)
    own_server.restart()
    execution = own.states.start_execution(stateMachineArn=machine, name="execution", input='{"a": 1}')["executionArn"]
    own_server.restart()
    description = ended(own.states, execution)
    assert (description["status"], description["output"], description["input"]) == ("SUCCEEDED", '"done"', '{"a": 1}')
    assert [event["type"] for event in history(own.states, execution)] == [
        "ExecutionStarted",
        "PassStateEntered",
        "PassStateExited",
        "ExecutionSucceeded",
    ]
    create_function(own.functions, "function", "def handler(event, context):\n    return event\n")
    own_server.restart()
    assert own.functions.invoke(FunctionName="function", Payload=b'"again"')["Payload"].read() == b'"again"'
    key = own_server.environment["AWS_ACCESS_KEY_ID"]
    own_server.restart()
    assert own_server.environment["AWS_ACCESS_KEY_ID"] == key
    assert own.sts.get_caller_identity()["Account"] == "000000000000"


# Executions


def consistent(events):
    """Ids without a gap, each following from an earlier one, in the order of time."""
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    assert all(event["previousEventId"] < event["id"] for event in events)
    times = [event["timestamp"] for event in events]
    assert times == sorted(times)
    return [event["type"] for event in events]


def test_an_execution_that_waits_goes_on(own_server, own):
    waits = {
        "StartAt": "Wait",
        "States": {
            "Wait": {"Type": "Wait", "Seconds": 2, "Next": "Pass"},
            "Pass": {"Type": "Pass", "Result": "waited", "End": True},
        },
    }
    arn = own.states.start_execution(stateMachineArn=create_machine(own.states, "waits", waits))["executionArn"]
    wait_for(lambda: history(own.states, arn)[-1]["type"] == "WaitStateEntered", what="the wait")
    own_server.restart()
    description = ended(own.states, arn)
    assert (description["status"], description["output"]) == ("SUCCEEDED", '"waited"')
    events = history(own.states, arn)
    assert consistent(events) == [
        "ExecutionStarted",
        "WaitStateEntered",
        "WaitStateExited",
        "PassStateEntered",
        "PassStateExited",
        "ExecutionSucceeded",
    ]
    assert (events[2]["timestamp"] - events[1]["timestamp"]).total_seconds() >= 2


def test_an_execution_in_a_task_goes_on(own_server, own, tmp_path):
    """The function is called again after the restart, at least once in all."""
    calls = tmp_path / "calls"
    calls.write_text("")
    source = (
        "import time\n\ndef handler(event, context):\n"
        "    with open(event['calls'], 'a') as file: file.write('called\\n')\n"
        # The first call never ends; the server dies under it.
        "    if len(open(event['calls']).readlines()) == 1: time.sleep(600)\n"
        "    return 'done'\n"
    )
    create_function(own.functions, "slow", source, Timeout=900)
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": {"FunctionName": "slow", "Payload.$": "$"},
        "OutputPath": "$.Payload",
        "End": True,
    }
    machine = create_machine(own.states, "tasks", {"StartAt": "Task", "States": {"Task": task}})
    arn = own.states.start_execution(stateMachineArn=machine, input=json.dumps({"calls": str(calls)}))["executionArn"]
    wait_for(lambda: calls.read_text(), what="the function's first call")
    processes = descendants(own_server)
    assert processes
    own_server.restart()
    none_lives(processes)
    description = ended(own.states, arn)
    assert (description["status"], description["output"]) == ("SUCCEEDED", '"done"')
    assert calls.read_text() == "called\n" * 2
    assert consistent(history(own.states, arn)) == [
        "ExecutionStarted",
        "TaskStateEntered",
        "TaskScheduled",
        "TaskStarted",
        "TaskSucceeded",
        "TaskStateExited",
        "ExecutionSucceeded",
    ]


def test_executions_survive_many_kills(own_server, own):
    """A loop of passes and waits, killed again and again, ends as if nothing had been."""
    counts = {
        "StartAt": "Next",
        "States": {
            "Next": {"Type": "Pass", "Parameters": {"n.$": "States.MathAdd($.n, 1)"}, "Next": "Rest"},
            "Rest": {"Type": "Wait", "SecondsPath": "$$.Execution.Input.rest", "Next": "Enough"},
            "Enough": {
                "Type": "Choice",
                "Choices": [{"Variable": "$.n", "NumericLessThan": 40, "Next": "Next"}],
                "Default": "Done",
            },
            "Done": {"Type": "Succeed"},
        },
    }
    machine = create_machine(own.states, "counts", counts)
    start = json.dumps({"n": 0, "rest": 0})
    arns = [own.states.start_execution(stateMachineArn=machine, input=start)["executionArn"] for _ in range(10)]
    for _ in range(3):
        own_server.restart()
    for arn in arns:
        description = ended(own.states, arn)
        assert (description["status"], json.loads(description["output"])) == ("SUCCEEDED", {"n": 40})
        types = consistent(history(own.states, arn))
        assert types.count("PassStateEntered") == types.count("PassStateExited") == 40


# Functions


def test_an_accepted_event_runs_after_the_restart(own_server, own, tmp_path):
    """202 is a promise: what waited or ran when the server died is done afterwards, at least once."""
    source = "def handler(event, context):\n    open(event, 'a').write('ran\\n')\n"
    create_function(own.functions, "later", source, Timeout=5)
    files = [tmp_path / f"event-{number}" for number in range(5)]
    for path in files:
        answer = own.functions.invoke(
            FunctionName="later", InvocationType="Event", Payload=json.dumps(str(path)).encode()
        )
        assert answer["StatusCode"] == 202
    own_server.restart()
    # What ran in the crash comes back when its lease is over.
    wait_for(lambda: all(path.exists() and path.read_text() for path in files), 120, "all five events")


# Training and hosting


def training_log(own):
    """The log of the job so far."""
    try:
        pages = own.logs.get_paginator("filter_log_events").paginate(
            logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix="killed/"
        )
        return "\n".join(event["message"] for page in pages for event in page["events"])
    except own.logs.exceptions.ResourceNotFoundException:
        return ""


def kill(processes):
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):  # It ended by itself.
            process.kill()


@pytest.fixture
def job(request, own_server, own, images):
    """A training job in its first epochs, of as many as the test names; gives its processes."""
    own.s3.create_bucket(Bucket="training")
    images.upload(own.s3, "training")
    epochs = getattr(request, "param", 15)
    own.sagemaker.create_training_job(**story_data.training_job("killed", "training", {"epochs": str(epochs)}))
    wait_for(lambda: "Epoch[0]" in training_log(own), 120, "the first epoch")
    return descendants(own_server)


def ends_with_a_reason_or_a_model(own, name):
    description = story_data.finished(own.sagemaker, name)
    model = {"Bucket": "training", "Key": f"models/{name}/output/model.tar.gz"}
    if description["TrainingJobStatus"] == "Completed":
        assert description["ModelArtifacts"]["S3ModelArtifacts"] == "s3://{Bucket}/{Key}".format(**model)
        assert own.s3.head_object(**model)["ContentLength"] > 0
    else:
        assert description["TrainingJobStatus"] == "Failed"
        assert len(description["FailureReason"]) > 20
        assert refused(own.s3.head_object, **model)[:2] == ("404", 404)
    return description


def test_a_training_job_is_never_stuck(own_server, own, job):
    """It goes on or fails with a reason, and no process is left behind."""
    own_server.restart()
    ends_with_a_reason_or_a_model(own, "killed")
    none_lives(job)
    # The service takes the next one.
    own.sagemaker.create_training_job(**story_data.training_job("next", "training"))
    assert story_data.finished(own.sagemaker, "next")["TrainingJobStatus"] == "Completed"


def test_a_power_cut_during_training(own_server, own, job):
    """The job's own process dies with the server."""
    assert job
    own_server.kill()
    kill(job)
    own_server.start()
    ends_with_a_reason_or_a_model(own, "killed")


@pytest.mark.parametrize("job", [5000], indirect=True)  # It must not end before it is killed.
def test_a_training_process_that_is_killed_is_replaced_three_times(own_server, own, job):
    """Each goes on from the checkpoint of the one before; in the end the job fails with the reason."""

    def replaced():
        return training_log(own).count("where a checkpoint was kept")

    wait_for(lambda: "Epoch[1]" in training_log(own), 120, "an epoch after the first checkpoint")
    kill(job)
    for times in range(1, 4):
        wait_for(lambda times=times: replaced() == times, 120, f"process {times} after the first")
        assert own.sagemaker.describe_training_job(TrainingJobName="killed")["TrainingJobStatus"] == "InProgress"
        kill(descendants(own_server))
    description = ends_with_a_reason_or_a_model(own, "killed")
    assert description["TrainingJobStatus"] == "Failed"
    assert "signal" in description["FailureReason"] or "killed" in description["FailureReason"]


@pytest.fixture
def deployed(own, trained):
    """The trained model on the server that the test kills."""
    own.s3.create_bucket(Bucket="hosting")
    own.s3.put_object(Bucket="hosting", Key="model.tar.gz", Body=trained.artifact)
    story_data.deploy(own.sagemaker, "bikes", "s3://hosting/model.tar.gz", capture="s3://hosting/captured")
    return "bikes"


def test_an_endpoint_serves_again(own_server, own, deployed, images):
    ask = {"EndpointName": deployed, "ContentType": "image/png", "Body": images.picture}
    before = own.runtime.invoke_endpoint(**ask)["Body"].read()
    own_server.restart()
    assert own.runtime.invoke_endpoint(**ask)["Body"].read() == before
    assert story_data.in_service(own.sagemaker, deployed)["EndpointConfigName"] == deployed


def test_an_endpoint_that_was_being_created_comes_into_service(own_server, own, trained, images):
    own.s3.create_bucket(Bucket="hosting")
    own.s3.put_object(Bucket="hosting", Key="model.tar.gz", Body=trained.artifact)
    container = {"Image": story_data.IMAGE, "ModelDataUrl": "s3://hosting/model.tar.gz"}
    own.sagemaker.create_model(ModelName="bikes", ExecutionRoleArn=ROLE, PrimaryContainer=container)
    story_data.configure(own.sagemaker, "bikes", "bikes")
    own.sagemaker.create_endpoint(EndpointName="bikes", EndpointConfigName="bikes")
    own_server.restart()
    story_data.in_service(own.sagemaker, "bikes")
    ask = {"EndpointName": "bikes", "ContentType": "image/png", "Body": images.picture}
    assert sum(json.loads(own.runtime.invoke_endpoint(**ask)["Body"].read())) == pytest.approx(1, abs=1e-5)


# The graceful stop


def test_a_graceful_stop_flushes_captures_and_ends_children(own_server, own, deployed, images):
    create_function(own.functions, "warm", "def handler(event, context):\n    return event\n")
    own.functions.invoke(FunctionName="warm")
    for number in range(7):
        own.runtime.invoke_endpoint(
            EndpointName=deployed, ContentType="image/png", Body=images.picture, InferenceId=str(number)
        )
    processes = descendants(own_server)
    assert processes, "a warm function is a process"
    assert own_server.stop() == 0
    none_lives(processes, timeout=2)
    own_server.start()
    listed = own.s3.list_objects_v2(Bucket="hosting", Prefix="captured/bikes/")["Contents"]
    lines = [
        json.loads(line)
        for item in listed
        for line in own.s3.get_object(Bucket="hosting", Key=item["Key"])["Body"].read().splitlines()
    ]
    assert sorted(line["eventMetadata"]["inferenceId"] for line in lines) == [str(number) for number in range(7)]
    events = own.logs.filter_log_events(logGroupName="/aws/lambda/warm")["events"]
    assert [event["message"].split()[0] for event in events if "RequestId" in event["message"]] == [
        "START",
        "END",
        "REPORT",
    ]


def test_a_graceful_stop_during_training(own_server, own, images):
    own.s3.create_bucket(Bucket="training")
    images.upload(own.s3, "training")
    own.sagemaker.create_training_job(**story_data.training_job("long", "training", {"epochs": "5000"}))
    wait_for(
        lambda: own.sagemaker.describe_training_job(TrainingJobName="long")["SecondaryStatus"] == "Training",
        what="the training",
    )
    processes = descendants(own_server)
    assert own_server.stop() == 0
    none_lives(processes, timeout=2)
    own_server.start()
    description = story_data.finished(own.sagemaker, "long")
    # It ends as if its user had stopped it, with the model that it had, or it fails; it says why.
    assert description["TrainingJobStatus"] in ("Failed", "Stopped")
    said = description.get("FailureReason", "") + description["SecondaryStatusTransitions"][-1]["StatusMessage"]
    assert "server" in said, description["SecondaryStatusTransitions"]


def test_an_interrupt_stops_too(own_server):
    own_server.process.send_signal(signal.SIGINT)
    assert own_server.process.wait(30) == 0
    assert not (own_server.directory / "server.json").exists()
