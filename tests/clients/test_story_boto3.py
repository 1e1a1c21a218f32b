"""Scones Unlimited's story, told with boto3: every step asserts what a user would look at."""

import base64
import datetime
import io
import itertools
import json
import re
import tarfile
import types
from functools import partial

import pytest
from botocore.exceptions import ClientError

from harness import ROLE, ROOT, active, create_machine, ended, history, refused, wait_for, zipped
from story_data import IMAGE, JPEG, configure, deploy, finished, in_service, training_job, unique

EXAMPLE = ROOT / "examples" / "scones-unlimited"
FUNCTIONS = {
    "serializeImageData": "serialize_image_data",
    "classifyImageData": "classify_image_data",
    "filterInferences": "filter_inferences",
}
LOG_GROUP = "/aws/sagemaker/TrainingJobs"


@pytest.fixture(scope="module")
def endpoint(aws, trained):
    """The trained model in service, every inference captured."""
    name = unique("bikes")
    description = deploy(aws.sagemaker, name, trained.model_data, capture=f"s3://{trained.bucket}/captured")
    return types.SimpleNamespace(name=name, description=description)


@pytest.fixture(scope="module")
def functions(aws, endpoint):
    """The three functions, zipped as a user would; and a stricter filter."""
    threshold = {"filterInferences": "0.4"}
    for name, module in [*FUNCTIONS.items(), ("strictFilter", FUNCTIONS["filterInferences"])]:
        source = (EXAMPLE / "functions" / f"{module}.py").read_text()
        variables = {"ENDPOINT": endpoint.name, "THRESHOLD": threshold.get(name, "1.0")}
        created = aws.functions.create_function(
            FunctionName=name,
            Runtime="python3.11",
            Role=ROLE,
            Handler=f"{module}.lambda_handler",
            Code={"ZipFile": zipped(**{f"{module}_py": source})},
            Environment={"Variables": variables},
            Timeout=60,
            MemorySize=512,
        )
        assert created["FunctionArn"] == f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
        assert created["Environment"]["Variables"] == variables
        active(aws.functions, name)
    return list(FUNCTIONS)


@pytest.fixture(scope="module")
def machine(aws, functions):
    definition = json.loads((EXAMPLE / "state-machine.json").read_text())
    return create_machine(aws.states, unique("scones"), definition)


@pytest.fixture(scope="module")
def strict_machine(aws, functions):
    """The same with a filter that nothing passes."""
    text = (EXAMPLE / "state-machine.json").read_text().replace(":filterInferences:", ":strictFilter:")
    return create_machine(aws.states, unique("strict"), json.loads(text))


@pytest.fixture
def event(trained, images):
    """What the workflow is started with."""
    return {"s3_bucket": trained.bucket, "s3_key": f"validation/{images.validation['1'][0].name}"}


# Training


def test_a_training_job_describes_itself(trained):
    description, request = trained.description, trained.request
    assert trained.arn == f"arn:aws:sagemaker:us-east-1:000000000000:training-job/{trained.job}"
    assert description["TrainingJobArn"] == trained.arn
    for member in ("TrainingJobName", "HyperParameters", "RoleArn", "ResourceConfig", "StoppingCondition"):
        assert description[member] == request[member], member
    assert description["AlgorithmSpecification"].items() >= request["AlgorithmSpecification"].items()
    assert [channel["ChannelName"] for channel in description["InputDataConfig"]] == [
        "train",
        "validation",
        "train_lst",
        "validation_lst",
    ]
    for described, asked in zip(description["InputDataConfig"], request["InputDataConfig"], strict=True):
        assert described["DataSource"]["S3DataSource"].items() >= asked["DataSource"]["S3DataSource"].items()
    assert description["OutputDataConfig"]["S3OutputPath"] == f"s3://{trained.bucket}/models"
    # The SDK's Estimator.attach reads it, set or not.
    assert description["OutputDataConfig"]["KmsKeyId"] == ""
    assert trained.model_data == f"s3://{trained.bucket}/models/{trained.job}/output/model.tar.gz"
    assert description["SecondaryStatus"] == "Completed"
    created, began, ended_at = (description[name] for name in ("CreationTime", "TrainingStartTime", "TrainingEndTime"))
    assert created <= began <= ended_at <= description["LastModifiedTime"]
    assert 0 <= description["TrainingTimeInSeconds"] <= (ended_at - began).total_seconds() + 1
    assert description["BillableTimeInSeconds"] >= 0
    assert "FailureReason" not in description


def test_a_training_job_passes_through_its_secondary_statuses(trained):
    transitions = trained.description["SecondaryStatusTransitions"]
    names = [transition["Status"] for transition in transitions]
    in_order = ["Starting", "Pending", "Downloading", "Training", "Uploading", "Completed"]
    assert names == [name for name in in_order if name in names]
    assert {"Starting", "Downloading", "Training", "Uploading", "Completed"} <= set(names)
    for before, after in itertools.pairwise(transitions):
        assert before["StartTime"] <= before["EndTime"] <= after["StartTime"] + datetime.timedelta(seconds=1)
    assert all(transition["StatusMessage"] for transition in transitions)


def test_the_final_metrics_are_those_of_the_algorithm(trained):
    metrics = {metric["MetricName"]: metric["Value"] for metric in trained.description["FinalMetricDataList"]}
    assert {"train:accuracy", "validation:accuracy"} <= set(metrics)
    assert all(0 <= value <= 1 for value in metrics.values())
    # Twenty validation images: an accuracy is a multiple of a twentieth.
    assert round(metrics["validation:accuracy"] * 20, 3) % 1 == 0


def test_the_log_tells_of_every_epoch(aws, trained):
    streams = aws.logs.describe_log_streams(
        logGroupName=LOG_GROUP, logStreamNamePrefix=f"{trained.job}/", orderBy="LogStreamName", limit=10
    )
    assert "nextToken" not in streams
    (stream,) = streams["logStreams"]
    assert re.fullmatch(rf"{trained.job}/algo-1-\d+", stream["logStreamName"])
    page = aws.logs.get_log_events(
        logGroupName=LOG_GROUP, logStreamName=stream["logStreamName"], startFromHead=True, startTime=0
    )
    lines = [event["message"] for event in page["events"]]
    for epoch in range(2):
        for what in ("Train-accuracy", "Time cost", "Validation-accuracy"):
            found = [line for line in lines if re.search(rf"Epoch\[{epoch}\] {what}=\d+\.\d+", line)]
            assert len(found) == 1, (epoch, what, lines)
    assert not any("Epoch[2]" in line for line in lines)
    # The SDK's training_job_analytics reads the definitions.
    definitions = trained.description["AlgorithmSpecification"]["MetricDefinitions"]
    assert [definition["Name"] for definition in definitions] == ["train:accuracy", "validation:accuracy"]
    for definition in definitions:
        found = [re.search(definition["Regex"], line) for line in lines]
        assert [float(match[1]) for match in found if match][1:], definition
    times = [event["timestamp"] for event in page["events"]]
    assert times == sorted(times)
    # The SDK reads until a page is empty: at the end the token stays and no events come.
    last = aws.logs.get_log_events(
        logGroupName=LOG_GROUP, logStreamName=stream["logStreamName"], nextToken=page["nextForwardToken"]
    )
    assert last["events"] == []
    assert last["nextForwardToken"] == page["nextForwardToken"]


def test_the_model_is_an_archive_of_weights_and_their_description(trained):
    with tarfile.open(fileobj=io.BytesIO(trained.artifact), mode="r:gz") as archive:
        names = {member.name.removeprefix("./") for member in archive if member.isfile()}
        assert {"model.json", "model.safetensors"} <= names
        files = {
            member.name.removeprefix("./"): archive.extractfile(member).read() for member in archive if member.isfile()
        }
    model = json.loads(files["model.json"])
    assert model
    weights = files["model.safetensors"]
    header_bytes = int.from_bytes(weights[:8], "little")
    header = json.loads(weights[8 : 8 + header_bytes])
    tensors = {name: tensor for name, tensor in header.items() if name != "__metadata__"}
    assert tensors
    assert max(tensor["data_offsets"][1] for tensor in tensors.values()) == len(weights) - 8 - header_bytes


def test_training_jobs_are_listed_and_filtered(aws, trained):
    found = aws.sagemaker.list_training_jobs(NameContains=trained.job, StatusEquals="Completed")
    (summary,) = found["TrainingJobSummaries"]
    assert (summary["TrainingJobArn"], summary["TrainingJobStatus"]) == (trained.arn, "Completed")
    assert (
        aws.sagemaker.list_training_jobs(NameContains=trained.job, StatusEquals="Failed")["TrainingJobSummaries"] == []
    )


def test_a_second_job_of_the_same_name_is_refused(aws, trained):
    code, status, message = refused(aws.sagemaker.create_training_job, **trained.request)
    assert (code, status) == ("ResourceInUse", 400)
    assert trained.arn in message or trained.job in message


@pytest.mark.parametrize(
    ("hyperparameters", "named"),
    [
        ({"epochs": "many"}, "epochs"),
        ({"learning_rate": "7"}, "learning_rate"),
        ({"epoch": "3"}, "epoch"),
        ({"num_layers": "19"}, "num_layers"),
        ({"image_shape": "3,32"}, "image_shape"),
    ],
)
def test_a_wrong_hyperparameter_is_named(aws, trained, hyperparameters, named):
    name = unique("wrong")
    aws.sagemaker.create_training_job(**training_job(name, trained.bucket, hyperparameters))
    description = finished(aws.sagemaker, name)
    assert (description["TrainingJobStatus"], description["SecondaryStatus"]) == ("Failed", "Failed")
    assert description["FailureReason"].startswith("ClientError: ")
    assert named in description["FailureReason"]


def test_a_channel_without_objects_is_refused(aws, trained):
    request = training_job(unique("missing"), trained.bucket)
    request["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3Uri"] = f"s3://{trained.bucket}/nowhere/"
    code, status, message = refused(aws.sagemaker.create_training_job, **request)
    assert (code, status) == ("ValidationException", 400)
    assert f"s3://{trained.bucket}/nowhere/" in message


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ("7\t0\tnobody.png\n", ["nobody.png", "line 61"]),
        ("7\tbicycle\tnobody.png\n", ["bicycle", "line 61"]),
        ("nonsense\n", ["line 61"]),
    ],
)
def test_a_job_with_a_bad_row_fails_with_the_line(aws, trained, images, row, named):
    name = unique("row")
    listed = (images.directory / "train.lst").read_text() + row
    aws.s3.put_object(Bucket=trained.bucket, Key=f"{name}.lst", Body=listed.encode())
    request = training_job(name, trained.bucket)
    request["InputDataConfig"][2]["DataSource"]["S3DataSource"]["S3Uri"] = f"s3://{trained.bucket}/{name}.lst"
    aws.sagemaker.create_training_job(**request)
    description = finished(aws.sagemaker, name)
    assert description["TrainingJobStatus"] == "Failed"
    assert description["FailureReason"].startswith("ClientError: ")
    assert all(one in description["FailureReason"] for one in named), description["FailureReason"]
    key = f"models/{name}/output/model.tar.gz"
    assert refused(aws.s3.head_object, Bucket=trained.bucket, Key=key)[:2] == ("404", 404)


def test_a_running_job_can_be_stopped(aws, trained):
    name = unique("stopped")
    aws.sagemaker.create_training_job(**training_job(name, trained.bucket, {"epochs": "5000"}))
    wait_for(
        lambda: aws.sagemaker.describe_training_job(TrainingJobName=name)["SecondaryStatus"] == "Training",
        what="the training",
    )
    aws.sagemaker.stop_training_job(TrainingJobName=name)
    description = finished(aws.sagemaker, name)
    assert (description["TrainingJobStatus"], description["SecondaryStatus"]) == ("Stopped", "Stopped")
    assert "Stopping" in [transition["Status"] for transition in description["SecondaryStatusTransitions"]]


# Hosting


def test_an_endpoint_describes_itself(aws, endpoint, trained):
    description = endpoint.description
    assert description["EndpointArn"] == f"arn:aws:sagemaker:us-east-1:000000000000:endpoint/{endpoint.name}"
    assert description["EndpointConfigName"] == endpoint.name
    (variant,) = description["ProductionVariants"]
    assert (variant["VariantName"], variant["CurrentInstanceCount"], variant["CurrentWeight"]) == ("AllTraffic", 1, 1.0)
    assert description["DataCaptureConfig"] == {
        "EnableCapture": True,
        "CaptureStatus": "Started",
        "CurrentSamplingPercentage": 100,
        "DestinationS3Uri": f"s3://{trained.bucket}/captured",
        "KmsKeyId": "",
    }
    model = aws.sagemaker.describe_model(ModelName=endpoint.name)
    assert model["PrimaryContainer"]["ModelDataUrl"] == trained.model_data
    assert model["PrimaryContainer"]["Image"] == IMAGE
    names = [one["EndpointName"] for one in aws.sagemaker.list_endpoints(StatusEquals="InService")["Endpoints"]]
    assert endpoint.name in names


@pytest.mark.parametrize("content_type", ["image/png", "image/jpeg", "application/x-image"])
def test_an_image_gets_probabilities(aws, endpoint, images, content_type):
    body = JPEG if content_type == "image/jpeg" else images.picture
    answer = aws.runtime.invoke_endpoint(EndpointName=endpoint.name, ContentType=content_type, Body=body)
    assert answer["ContentType"].split(";")[0] == "application/json"
    assert answer["InvokedProductionVariant"] == "AllTraffic"
    probabilities = json.loads(answer["Body"].read())
    assert len(probabilities) == 2
    assert all(0 <= probability <= 1 for probability in probabilities)
    assert sum(probabilities) == pytest.approx(1, abs=1e-5)


def test_the_same_image_gets_the_same_probabilities(aws, endpoint, images):
    ask = {"EndpointName": endpoint.name, "ContentType": "image/png"}
    answers = {aws.runtime.invoke_endpoint(Body=images.picture, **ask)["Body"].read() for _ in range(5)}
    assert len(answers) == 1
    other = images.validation["1"][0].read_bytes()
    assert aws.runtime.invoke_endpoint(Body=other, **ask)["Body"].read() not in answers


@pytest.mark.parametrize(
    ("content_type", "body", "original_status"),
    [("text/csv", b"1,2", 415), ("image/png", b"not an image", 400), ("image/png", b"", 400)],
)
def test_what_the_model_refuses_is_a_model_error(aws, endpoint, content_type, body, original_status):
    with pytest.raises(aws.runtime.exceptions.ModelError) as caught:
        aws.runtime.invoke_endpoint(EndpointName=endpoint.name, ContentType=content_type, Body=body)
    response = caught.value.response
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert response["OriginalStatusCode"] == original_status
    assert response["OriginalMessage"]
    assert f"Received client error ({original_status})" in response["Error"]["Message"]
    assert endpoint.name in response["LogStreamArn"]


def test_an_unknown_endpoint_is_a_validation_error(aws):
    ask = {"EndpointName": "nobody", "ContentType": "image/png", "Body": b"x"}
    code, status, message = refused(aws.runtime.invoke_endpoint, **ask)
    assert (code, status) == ("ValidationError", 400)
    assert message == "Endpoint nobody of account 000000000000 not found."
    code, status, message = refused(aws.sagemaker.describe_endpoint, EndpointName="nobody")
    assert (code, status) == ("ValidationException", 400)
    assert message.startswith("Could not find endpoint")


def test_a_target_model_is_of_multi_model_endpoints(aws, endpoint, images):
    ask = {"EndpointName": endpoint.name, "ContentType": "image/png", "Body": images.picture}
    code, status, message = refused(aws.runtime.invoke_endpoint, TargetModel="model.tar.gz", **ask)
    assert (code, status) == ("ValidationError", 400)
    assert message == (
        f"Endpoint {endpoint.name} is not a multi-model endpoint and does not support target model header."
    )


def test_a_body_has_at_most_25_mib(aws, endpoint):
    def ask(size):
        return {"EndpointName": endpoint.name, "ContentType": "image/png", "Body": bytes(size)}

    # The model is asked, and finds no image.
    assert refused(aws.runtime.invoke_endpoint, **ask(25 << 20))[:2] == ("ModelError", 424)
    assert refused(aws.runtime.invoke_endpoint, **ask((25 << 20) + 1))[:2] == ("ValidationError", 400)


def test_a_model_needs_its_data(aws, trained):
    uri = f"s3://{trained.bucket}/models/none.tar.gz"
    code, status, message = refused(
        aws.sagemaker.create_model,
        ModelName=unique("none"),
        ExecutionRoleArn=trained.request["RoleArn"],
        PrimaryContainer={"Image": IMAGE, "ModelDataUrl": uri},
    )
    assert (code, status, message) == ("ValidationException", 400, f"Could not find model data at {uri}.")


def captured(aws, bucket, prefix):
    """The records below a prefix, with the key of the file of each."""
    listed = aws.s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
    return [
        (item["Key"], json.loads(line))
        for item in listed
        for line in aws.s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read().splitlines()
    ]


def test_inferences_are_captured_as_aws_writes_them(aws, endpoint, trained, images):
    before = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    answer = aws.runtime.invoke_endpoint(
        EndpointName=endpoint.name, ContentType="image/png", Body=images.picture, InferenceId="this-one"
    )
    output = answer["Body"].read().decode()

    def record():
        records = captured(aws, trained.bucket, f"captured/{endpoint.name}/")
        return next((one for one in records if one[1]["eventMetadata"].get("inferenceId") == "this-one"), None)

    key, line = wait_for(record, what="the captured inference")
    folder = rf"captured/{endpoint.name}/AllTraffic/\d{{4}}/\d\d/\d\d/\d\d"
    assert re.fullmatch(rf"{folder}/\d\d-\d\d-\d{{3}}-[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}\.jsonl", key)
    assert set(line) == {"captureData", "eventMetadata", "eventVersion"}
    assert line["eventVersion"] == "0"
    assert line["captureData"]["endpointInput"] == {
        "observedContentType": "image/png",
        "mode": "INPUT",
        "data": base64.b64encode(images.picture).decode(),
        "encoding": "BASE64",
    }
    assert line["captureData"]["endpointOutput"] == {
        "observedContentType": "application/json",
        "mode": "OUTPUT",
        "data": output,
        "encoding": "JSON",
    }
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", line["eventMetadata"]["eventId"])
    when = datetime.datetime.fromisoformat(line["eventMetadata"]["inferenceTime"])
    assert before <= when <= datetime.datetime.now(datetime.UTC)


def test_an_endpoint_moves_to_another_configuration(aws, trained, images):
    name, second = unique("moving"), unique("second")
    deploy(aws.sagemaker, name, trained.model_data, variant="First")
    configure(aws.sagemaker, second, name, variant="Second")
    aws.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=second)
    description = in_service(aws.sagemaker, name)
    assert description["EndpointConfigName"] == second
    assert [variant["VariantName"] for variant in description["ProductionVariants"]] == ["Second"]
    answer = aws.runtime.invoke_endpoint(EndpointName=name, ContentType="image/png", Body=images.picture)
    assert answer["InvokedProductionVariant"] == "Second"


def is_gone(describe, **arguments):
    """Whether SageMaker says so in the words that its SDK looks for."""
    try:
        describe(**arguments)
    except ClientError as error:
        said = error.response["Error"]
        return said["Code"] == "ValidationException" and said["Message"].startswith("Could not find")
    return False


def test_what_is_deleted_is_gone(aws, trained, images):
    name = unique("gone")
    deploy(aws.sagemaker, name, trained.model_data)
    sagemaker = aws.sagemaker
    sagemaker.delete_endpoint(EndpointName=name)
    sagemaker.delete_endpoint_config(EndpointConfigName=name)
    sagemaker.delete_model(ModelName=name)
    wait_for(partial(is_gone, sagemaker.describe_endpoint, EndpointName=name), what="the endpoint gone")
    assert is_gone(sagemaker.describe_endpoint_config, EndpointConfigName=name)
    assert is_gone(sagemaker.describe_model, ModelName=name)
    ask = {"EndpointName": name, "ContentType": "image/png", "Body": images.picture}
    assert refused(aws.runtime.invoke_endpoint, **ask)[:2] == ("ValidationError", 400)


# Functions


def test_the_functions_work_one_by_one(aws, functions, event, images):
    def invoke(name, payload):
        answer = aws.functions.invoke(FunctionName=name, Payload=json.dumps(payload), LogType="Tail")
        result = json.loads(answer["Payload"].read())
        assert "FunctionError" not in answer, result
        assert (answer["StatusCode"], answer["ExecutedVersion"]) == (200, "$LATEST")
        return result, base64.b64decode(answer["LogResult"]).decode()

    serialized, log = invoke("serializeImageData", event)
    image = images.validation["1"][0].read_bytes()
    assert serialized["statusCode"] == 200
    assert serialized["body"] == {
        "image_data": base64.b64encode(image).decode(),
        "s3_bucket": event["s3_bucket"],
        "s3_key": event["s3_key"],
        "inferences": [],
    }
    request_id = re.search(r"^START RequestId: (\S+) Version: \$LATEST$", log, re.M)[1]
    assert re.search(rf"^END RequestId: {request_id}$", log, re.M)
    assert re.search(
        rf"^REPORT RequestId: {request_id}\tDuration: [\d.]+ ms\tBilled Duration: \d+ ms\t"
        r"Memory Size: 512 MB\tMax Memory Used: \d+ MB\t",
        log,
        re.M,
    )
    classified, _ = invoke("classifyImageData", serialized)
    assert sum(classified["body"]["inferences"]) == pytest.approx(1, abs=1e-5)
    filtered, _ = invoke("filterInferences", classified)
    assert filtered == classified


def test_a_function_without_its_object_fails_with_boto3s_error(aws, functions, event):
    payload = json.dumps({**event, "s3_key": "not/there.png"})
    answer = aws.functions.invoke(FunctionName="serializeImageData", Payload=payload)
    assert answer["FunctionError"] == "Unhandled"
    error = json.loads(answer["Payload"].read())
    assert error["errorType"] == "NoSuchKey"
    assert "GetObject" in error["errorMessage"]
    assert any("serialize_image_data.py" in line for line in error["stackTrace"])


# The workflow


def test_a_success_writes_the_seventeen_events(aws, machine, event):
    name = unique("run")
    started = aws.states.start_execution(stateMachineArn=machine, name=name, input=json.dumps(event))
    arn = started["executionArn"]
    assert arn == machine.replace(":stateMachine:", ":execution:") + f":{name}"
    description = ended(aws.states, arn)
    assert description["status"] == "SUCCEEDED", (description.get("error"), description.get("cause"))
    assert json.loads(description["input"]) == event
    body = json.loads(description["output"])["body"]
    assert (body["s3_bucket"], body["s3_key"]) == (event["s3_bucket"], event["s3_key"])
    assert sum(body["inferences"]) == pytest.approx(1, abs=1e-5)
    events = history(aws.states, arn)
    task = ["TaskStateEntered", "TaskScheduled", "TaskStarted", "TaskSucceeded", "TaskStateExited"]
    assert [event["type"] for event in events] == ["ExecutionStarted", *task * 3, "ExecutionSucceeded"]
    assert [event["id"] for event in events] == list(range(1, 18))
    # As AWS has it: the first state follows from 0 like the start itself.
    assert [event["previousEventId"] for event in events] == [0, 0, *range(2, 17)]
    times = [event["timestamp"] for event in events]
    assert times == sorted(times)
    entered = [event["stateEnteredEventDetails"]["name"] for event in events if event["type"] == "TaskStateEntered"]
    assert entered == ["SerializeImageData", "ClassifyImageData", "FilterInferences"]
    assert events[0]["executionStartedEventDetails"]["roleArn"] == ROLE
    scheduled = events[2]["taskScheduledEventDetails"]
    assert (scheduled["resourceType"], scheduled["resource"], scheduled["region"]) == ("lambda", "invoke", "us-east-1")
    assert json.loads(scheduled["parameters"]) == {
        "FunctionName": "arn:aws:lambda:us-east-1:000000000000:function:serializeImageData:$LATEST",
        "Payload": event,
    }
    result = json.loads(events[4]["taskSucceededEventDetails"]["output"])
    assert (result["StatusCode"], result["ExecutedVersion"]) == (200, "$LATEST")
    assert {"SdkHttpMetadata", "SdkResponseMetadata", "Payload"} <= set(result)
    assert events[-1]["executionSucceededEventDetails"]["output"] == description["output"]


def test_below_the_threshold_the_execution_fails(aws, strict_machine, event):
    arn = aws.states.start_execution(stateMachineArn=strict_machine, input=json.dumps(event))["executionArn"]
    description = ended(aws.states, arn)
    assert (description["status"], description["error"]) == ("FAILED", "THRESHOLD_CONFIDENCE_NOT_MET")
    cause = json.loads(description["cause"])
    assert set(cause) == {"errorMessage", "errorType", "requestId", "stackTrace"}
    assert cause["errorType"] == "THRESHOLD_CONFIDENCE_NOT_MET"
    assert cause["errorMessage"].startswith("THRESHOLD_CONFIDENCE_NOT_MET: none of [")
    assert "output" not in description
    events = history(aws.states, arn)
    assert [event["type"] for event in events[-3:]] == ["TaskStarted", "TaskFailed", "ExecutionFailed"]
    failed = events[-2]["taskFailedEventDetails"]
    assert (failed["error"], failed["cause"]) == (description["error"], description["cause"])
    assert (failed["resourceType"], failed["resource"]) == ("lambda", "invoke")
    last = events[-1]["executionFailedEventDetails"]
    assert (last["error"], last["cause"]) == (description["error"], description["cause"])


@pytest.mark.parametrize(
    ("which", "status", "other"), [("machine", "SUCCEEDED", "FAILED"), ("strict_machine", "FAILED", "SUCCEEDED")]
)
def test_executions_are_listed_by_status(aws, event, request, which, status, other):
    machine = request.getfixturevalue(which)
    started = aws.states.start_execution(stateMachineArn=machine, input=json.dumps(event))["executionArn"]
    ended(aws.states, started)

    def listed(status):
        pages = aws.states.get_paginator("list_executions").paginate(stateMachineArn=machine, statusFilter=status)
        return {one["executionArn"]: one for page in pages for one in page["executions"]}

    # AWS documents this operation as eventually consistent.
    found = wait_for(lambda: started in (found := listed(status)) and found, 5, f"{started} in the list")
    assert {execution["status"] for execution in found.values()} == {status}
    assert all(execution["stopDate"] >= execution["startDate"] for execution in found.values())
    assert started not in listed(other)
    assert started not in listed("RUNNING")


def test_a_name_starts_one_execution(aws, machine, event):
    ask = {"stateMachineArn": machine, "name": unique("once"), "input": json.dumps(event)}
    first = aws.states.start_execution(**ask)["executionArn"]
    ended(aws.states, first)
    code, status, _ = refused(aws.states.start_execution, **{**ask, "input": "{}"})
    assert (code, status) == ("ExecutionAlreadyExists", 400)


def test_an_execution_is_stopped(aws):
    waits = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 300, "End": True}}}
    arn = aws.states.start_execution(stateMachineArn=create_machine(aws.states, unique("waits"), waits))["executionArn"]
    wait_for(lambda: history(aws.states, arn)[-1]["type"] == "WaitStateEntered", what="the wait")
    aws.states.stop_execution(executionArn=arn, error="Enough", cause="nobody waits that long")
    description = ended(aws.states, arn)
    assert (description["status"], description["error"], description["cause"]) == (
        "ABORTED",
        "Enough",
        "nobody waits that long",
    )
    last = history(aws.states, arn)[-1]
    assert last["type"] == "ExecutionAborted"
    assert last["executionAbortedEventDetails"] == {"error": "Enough", "cause": "nobody waits that long"}


def test_state_machines_are_updated_and_deleted(aws):
    def passing(result):
        return {"StartAt": "Pass", "States": {"Pass": {"Type": "Pass", "Result": result, "End": True}}}

    arn = create_machine(aws.states, unique("passing"), passing(1))
    description = aws.states.describe_state_machine(stateMachineArn=arn)
    assert (description["status"], description["type"], description["roleArn"]) == ("ACTIVE", "STANDARD", ROLE)
    assert json.loads(description["definition"]) == passing(1)
    aws.states.update_state_machine(stateMachineArn=arn, definition=json.dumps(passing(2)))
    execution = aws.states.start_execution(stateMachineArn=arn)["executionArn"]
    assert ended(aws.states, execution)["output"] == "2"
    assert arn in [one["stateMachineArn"] for one in aws.states.list_state_machines()["stateMachines"]]
    aws.states.delete_state_machine(stateMachineArn=arn)

    def is_gone():
        try:
            return aws.states.describe_state_machine(stateMachineArn=arn)["status"] != "DELETING"
        except aws.states.exceptions.StateMachineDoesNotExist:
            return True

    wait_for(is_gone, what="the machine gone")
    assert refused(aws.states.start_execution, stateMachineArn=arn)[:2] == ("StateMachineDoesNotExist", 400)


def test_a_bad_definition_is_refused_with_its_place(aws):
    definition = {"StartAt": "Nowhere", "States": {"Here": {"Type": "Pass", "End": True}}}
    code, status, message = refused(
        aws.states.create_state_machine, name=unique("bad"), definition=json.dumps(definition), roleArn=ROLE
    )
    assert (code, status) == ("InvalidDefinition", 400)
    assert message.startswith("Invalid State Machine Definition:")
    assert "Nowhere" in message


def test_the_functions_logs_can_be_searched(aws, machine, event):
    arn = aws.states.start_execution(stateMachineArn=machine, input=json.dumps(event))["executionArn"]
    ended(aws.states, arn)
    result = json.loads(history(aws.states, arn)[4]["taskSucceededEventDetails"]["output"])
    request_id = result["SdkResponseMetadata"]["RequestId"]

    def lines():
        pages = aws.logs.get_paginator("filter_log_events").paginate(
            logGroupName="/aws/lambda/serializeImageData", filterPattern=f'"{request_id}"'
        )
        found = [event["message"].rstrip("\n") for page in pages for event in page["events"]]
        return found if len(found) == 3 else None

    start, end, report = wait_for(lines, what="the lines of the invocation")
    assert start == f"START RequestId: {request_id} Version: $LATEST"
    assert end == f"END RequestId: {request_id}"
    assert report.startswith(f"REPORT RequestId: {request_id}\tDuration: ")
    groups = aws.logs.describe_log_groups(logGroupNamePrefix="/aws/lambda/")["logGroups"]
    assert {f"/aws/lambda/{name}" for name in FUNCTIONS} <= {group["logGroupName"] for group in groups}
