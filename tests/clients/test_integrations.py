"""Tasks that call the services, send requests, and wait for jobs; and executions whose tasks are mocked."""

import http.server
import json
import subprocess
import threading

import pytest

from harness import PROGRAM, Server, clean_environment, create_machine, ended, history, refused, wait_for
from story_data import training_job, unique


def task(resource, parameters, **members):
    state = {"Type": "Task", "Resource": f"arn:aws:states:::{resource}", "Parameters": parameters, "End": True}
    return {"StartAt": "Call", "States": {"Call": {**state, **members}}}


def run(states, definition, event=None, suffix=""):
    """The description of an execution that has ended."""
    machine = create_machine(states, unique("task"), definition)
    started = states.start_execution(stateMachineArn=machine + suffix, input=json.dumps(event or {}))
    return ended(states, started["executionArn"])


def result(states, resource, parameters):
    """What a task gives."""
    description = run(states, task(resource, parameters))
    assert description["status"] == "SUCCEEDED", (description.get("error"), description.get("cause"))
    return json.loads(description["output"])


def failure(states, resource, parameters):
    """A task's error and cause."""
    description = run(states, task(resource, parameters))
    assert description["status"] == "FAILED", description
    return description["error"], description["cause"]


def test_objects_are_put_read_copied_listed_and_deleted(aws):
    bucket = unique("tasks")
    call = lambda action, **parameters: result(aws.states, f"aws-sdk:s3:{action}", parameters)
    assert call("createBucket", Bucket=bucket) == {"Location": f"/{bucket}"}
    etag = call("putObject", Bucket=bucket, Key="a.json", Body={"n": 1}, ContentType="application/json")["ETag"]
    assert aws.s3.get_object(Bucket=bucket, Key="a.json")["Body"].read() == b'{"n":1}'
    assert etag == aws.s3.head_object(Bucket=bucket, Key="a.json")["ETag"]
    found = call("getObject", Bucket=bucket, Key="a.json")
    assert (found["Body"], found["ETag"], found["ContentLength"]) == ('{"n":1}', etag, 7)
    assert found["ContentType"] == "application/json" and found["LastModified"].endswith("Z")
    assert call("getObject", Bucket=bucket, Key="a.json", Range="bytes=1-3")["Body"] == '"n"'
    assert "Body" not in call("headObject", Bucket=bucket, Key="a.json")
    copied = call("copyObject", Bucket=bucket, Key="b/c.json", CopySource=f"{bucket}/a.json")
    assert copied["CopyObjectResult"]["ETag"] == etag
    listed = call("listObjectsV2", Bucket=bucket, Delimiter="/")
    assert [one["Key"] for one in listed["Contents"]] == ["a.json"]
    assert listed["CommonPrefixes"] == [{"Prefix": "b/"}] and listed["KeyCount"] == 2
    assert bucket in [one["Name"] for one in call("listBuckets")["Buckets"]]
    assert call("deleteObject", Bucket=bucket, Key="a.json") == {}
    deleted = call("deleteObjects", Bucket=bucket, Delete={"Objects": [{"Key": "b/c.json"}]})
    assert deleted == {"Deleted": [{"Key": "b/c.json"}]}
    assert call("deleteBucket", Bucket=bucket) == {}


def test_objects_are_uploaded_in_parts_and_described(aws):
    bucket = unique("tasks")
    aws.s3.create_bucket(Bucket=bucket)
    call = lambda action, **parameters: result(aws.states, f"aws-sdk:s3:{action}", {"Bucket": bucket, "Key": "k", **parameters})
    upload = call("createMultipartUpload", ContentType="application/json")["UploadId"]
    part = call("uploadPart", UploadId=upload, PartNumber=1, Body={"n": 1})["ETag"]
    assert [one["ETag"] for one in call("listParts", UploadId=upload)["Parts"]] == [part]
    whole = call("completeMultipartUpload", UploadId=upload, MultipartUpload={"Parts": [{"ETag": part, "PartNumber": 1}]})
    assert aws.s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b'{"n":1}'
    assert call("getObjectAttributes", ObjectAttributes=["ObjectSize"])["ObjectSize"] == 7
    assert call("getObjectTagging") == {"TagSet": []}
    versions = result(aws.states, "aws-sdk:s3:listObjectVersions", {"Bucket": bucket})["Versions"]
    assert [(one["Key"], one["VersionId"], one["ETag"]) for one in versions] == [("k", "null", whole["ETag"])]


def test_the_services_refusals_are_named(aws):
    bucket = unique("tasks")
    aws.s3.create_bucket(Bucket=bucket)
    aws.s3.put_object(Bucket=bucket, Key="large", Body=b"x" * 262_145)
    check = lambda resource, parameters, expected: failure(aws.states, resource, parameters)[0] == expected
    assert check("aws-sdk:s3:getObject", {"Bucket": bucket, "Key": "missing"}, "S3.NoSuchKeyException")
    assert check("aws-sdk:s3:getObject", {"Bucket": bucket, "Key": "large"}, "States.DataLimitExceeded")
    assert check("aws-sdk:s3:headObject", {"Bucket": unique("none"), "Key": "k"}, "S3.NoSuchBucketException")
    unsupported = failure(aws.states, "aws-sdk:s3:putObject", {"Bucket": bucket, "Key": "k", "SSEKMSKeyId": "key"})
    assert unsupported[0] == "States.Runtime" and "does not implement `SSEKMSKeyId` of PutObject" in unsupported[1]
    encrypted = failure(aws.states, "aws-sdk:s3:putObject", {"Bucket": bucket, "Key": "k", "ServerSideEncryption": "aws:kms"})
    assert encrypted[0] == "States.Runtime" and "does not implement server-side encryption" in encrypted[1]
    unbuilt = failure(aws.states, "aws-sdk:s3:putBucketPolicy", {"Bucket": bucket, "Policy": "{}"})
    assert unbuilt[0] == "States.Runtime" and "does not implement PutBucketPolicy" in unbuilt[1]
    with pytest.raises(aws.states.exceptions.InvalidDefinition, match="The field 'Key' is required but was missing"):
        failure(aws.states, "aws-sdk:s3:getObject", {"Bucket": bucket})
    missing = failure(aws.states, "aws-sdk:s3:deleteObjects", {"Bucket": bucket, "Delete": {"Objects": [{}]}})
    assert missing == ("States.Runtime", "The field 'Key' is required but was missing")
    assert check("sagemaker:createEndpoint", {"EndpointName": "e", "EndpointConfigName": "none"}, "SageMaker.AmazonSageMakerException")
    assert check("aws-sdk:sagemaker:describeModel", {"ModelName": "none"}, "SageMaker.SageMakerException")
    assert check("aws-sdk:lambda:getFunction", {"FunctionName": "none"}, "Lambda.ResourceNotFoundException")
    assert check("lambda:invoke", {"FunctionName": "none"}, "Lambda.ResourceNotFoundException")
    assert check("aws-sdk:iam:getRole", {"RoleName": "none"}, "Iam.NoSuchEntityException")
    assert check("aws-sdk:sagemakerruntime:invokeEndpoint", {"EndpointName": "none", "Body": ""}, "SageMakerRuntime.ValidationErrorException")
    error, cause = failure(aws.states, "sagemaker:createTransformJob.sync", {"TransformJobName": "t"})
    assert error == "States.Runtime" and "CreateTransformJob" in cause
    error, cause = failure(aws.states, "aws-sdk:dynamodb:getItem", {})
    assert error == "States.Runtime" and "aws-sdk:dynamodb:getItem" in cause


def test_the_other_services_are_called(aws):
    group = unique("tasks")
    assert result(aws.states, "aws-sdk:cloudwatchlogs:createLogGroup", {"LogGroupName": group, "Tags": {"Own": "x"}}) == {}
    groups = result(aws.states, "aws-sdk:cloudwatchlogs:describeLogGroups", {"LogGroupNamePrefix": group})
    assert [one["LogGroupName"] for one in groups["LogGroups"]] == [group]
    tags = aws.logs.list_tags_for_resource(resourceArn=groups["LogGroups"][0]["Arn"].removesuffix(":*"))["tags"]
    assert tags == {"Own": "x"}
    identity = result(aws.states, "aws-sdk:sts:getCallerIdentity", {})
    assert identity["Arn"].startswith("arn:aws:sts::000000000000:assumed-role/AmazonSageMaker-ExecutionRole/")
    role = result(aws.states, "aws-sdk:iam:getRole", {"RoleName": "SconesRole"})["Role"]
    assert role["RoleName"] == "SconesRole"
    functions = result(aws.states, "aws-sdk:lambda:listFunctions", {})
    assert isinstance(functions["Functions"], list)


def test_a_training_job_is_waited_for_and_stopped(aws, trained):
    states, name = aws.states, unique("workflow")
    request = training_job(name, trained.bucket)
    described = run(states, task("sagemaker:createTrainingJob.sync", request))
    assert described["status"] == "SUCCEEDED", described.get("cause")
    output = json.loads(described["output"])
    assert output["TrainingJobStatus"] == "Completed" and output["TrainingJobName"] == name
    assert isinstance(output["CreationTime"], int)
    types = [event["type"] for event in history(states, described["executionArn"])]
    assert types[2:6] == ["TaskScheduled", "TaskStarted", "TaskSubmitted", "TaskSucceeded"]

    name = unique("workflow")
    request = training_job(name, trained.bucket, {"epochs": "500"})
    machine = create_machine(states, unique("stopped"), task("sagemaker:createTrainingJob.sync", request))
    execution = states.start_execution(stateMachineArn=machine)["executionArn"]
    wait_for(lambda: history(states, execution)[-1]["type"] == "TaskSubmitted", what="the job")
    states.stop_execution(executionArn=execution)
    status = lambda: aws.sagemaker.describe_training_job(TrainingJobName=name)["TrainingJobStatus"]
    wait_for(lambda: status() == "Stopped", what="the stopped job")


def test_a_waiting_task_survives_a_kill(own_server):
    states = own_server.client("stepfunctions")
    wait = {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 2, "End": True}}}
    child = create_machine(states, "child", wait)
    parent = create_machine(states, "parent", task("states:startExecution.sync:2", {"StateMachineArn": child, "Input": {"a": 1}}))
    execution = states.start_execution(stateMachineArn=parent)["executionArn"]
    wait_for(lambda: history(states, execution)[-1]["type"] == "TaskSubmitted", what="the child")
    own_server.restart()
    described = ended(states, execution)
    assert described["status"] == "SUCCEEDED", described
    assert json.loads(described["output"])["Output"] == {"a": 1}
    assert len(states.list_executions(stateMachineArn=child)["executions"]) == 1


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers with what was sent."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"] or 0)).decode()
        self.send_response(int(self.headers["X-Status"]))
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        sent = {"path": self.path, "type": self.headers["Content-Type"], "body": body}
        self.wfile.write(json.dumps(sent).encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def echo():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_a_request_is_sent(aws, echo):
    ask = {"ApiEndpoint": f"{echo}/orders", "Method": "POST", "QueryParameters": {"q": "a b"}, "RequestBody": {"n": 1}}
    answer = result(aws.states, "http:invoke", {**ask, "Headers": {"X-Status": "201"}})
    assert (answer["StatusCode"], answer["StatusText"]) == (201, "Created")
    assert answer["ResponseBody"] == {"path": "/orders?q=a+b", "type": "application/json", "body": '{"n":1}'}
    assert answer["Headers"]["content-type"] == ["application/json"]
    error, cause = failure(aws.states, "http:invoke", {**ask, "Headers": {"X-Status": "404"}})
    assert error == "States.Http.StatusCode.404" and json.loads(cause)["path"] == "/orders?q=a+b"
    nobody = {"ApiEndpoint": "http://127.0.0.1:9/", "Method": "GET"}
    assert failure(aws.states, "http:invoke", nobody)[0] == "States.Http.Socket"
    connection = {"ConnectionArn": "arn:aws:events:us-east-1:000000000000:connection/c/1"}
    error, cause = failure(aws.states, "http:invoke", {**ask, "Authentication": connection})
    assert error == "States.Runtime" and "connection/c/1" in cause


MOCKS = {
    "StateMachines": {"orders": {"TestCases": {"Paid": {"Call": "Paid"}, "Busy": {"Call": "Busy"}}}},
    "MockedResponses": {
        "Paid": {"0": {"Return": {"MessageId": "1"}}},
        "Busy": {"0-1": {"Throw": {"Error": "SQS.SdkClientException", "Cause": "later"}}},
    },
}


def test_a_test_case_needs_no_services(tmp_path):
    file = tmp_path / "mocks.json"
    file.write_text(json.dumps(MOCKS))
    server = Server(tmp_path / "data")
    server.options = ["--sfn-mock-config", file]
    states = server.start().client("stepfunctions")
    machine = create_machine(states, "orders", task("sqs:sendMessage", {"QueueUrl": "q", "MessageBody": "b"}))
    described = ended(states, states.start_execution(stateMachineArn=f"{machine}#Paid")["executionArn"])
    assert (described["status"], described["output"]) == ("SUCCEEDED", '{"MessageId":"1"}')
    assert described["stateMachineArn"] == machine
    described = ended(states, states.start_execution(stateMachineArn=f"{machine}#Busy")["executionArn"])
    assert (described["error"], described["cause"]) == ("SQS.SdkClientException", "later")
    code, _, message = refused(states.start_execution, stateMachineArn=f"{machine}#Other")
    assert code == "InvalidArn" and "only: Busy, Paid" in message
    server.stop()


def test_a_bad_mock_configuration_stops_the_start(tmp_path):
    file = tmp_path / "mocks.json"
    file.write_text('{"StateMachines": {"m": {"TestCases": {"c":\n{"s": "none"}}}}}')
    environment = clean_environment(SFN_MOCK_CONFIG=str(file))
    command = [PROGRAM, "up", "--listen", "127.0.0.1:0", "--data-dir", tmp_path / "data"]
    failed = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert failed.returncode == 1
    assert f"the mock configuration {file} is not valid" in failed.stderr
    assert "line 2: the test case 'c' of 'm' gives the state 's' the response 'none'" in failed.stderr
    assert "hint: add it to MockedResponses" in failed.stderr
