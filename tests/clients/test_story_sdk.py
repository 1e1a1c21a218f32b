"""The story with the SageMaker Python SDK 2.x, as the notebook tells it."""

import json
import time

import boto3
import pytest
import sagemaker
from sagemaker.model_monitor import DataCaptureConfig
from sagemaker.s3 import S3Downloader
from sagemaker.serializers import IdentitySerializer

import shapes
from harness import ROLE, wait_for
from story_data import HYPERPARAMETERS, unique


class HastyTime:
    """The module `time` for an SDK that looks every 10 to 30 seconds: its clock jumps over most of a sleep."""

    def __init__(self):
        self.skipped = 0

    def sleep(self, seconds):
        time.sleep(min(seconds, 0.2))
        self.skipped += seconds

    def time(self):
        return time.time() + self.skipped


@pytest.fixture
def session(server, monkeypatch, tmp_path, s3):
    """A session whose default bucket is named, since the SDK would ask the real STS for one."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    settings = tmp_path / "sagemaker.yaml"
    settings.write_text("SchemaVersion: '1.0'\nSageMaker: {PythonSDK: {Modules: {TelemetryOptOut: true}}}\n")
    monkeypatch.setenv("SAGEMAKER_USER_CONFIG_OVERRIDE", str(settings))
    monkeypatch.setattr(sagemaker.session, "time", HastyTime())
    boto_session = boto3.Session(region_name=server.environment["AWS_REGION"])
    for service in shapes.SERVICES:
        boto_session.events.register(f"before-parse.{service}.*", shapes.check_answer)
    bucket = unique("sdk")
    s3.create_bucket(Bucket=bucket)
    return sagemaker.Session(boto_session=boto_session, default_bucket=bucket)


def test_the_whole_story(session, s3, images, capsys):
    bucket = session.default_bucket()
    images.upload(s3, bucket)

    # Training
    image = sagemaker.image_uris.retrieve("image-classification", region=session.boto_region_name, version="1")
    estimator = sagemaker.estimator.Estimator(
        image_uri=image,
        role=ROLE,
        instance_count=1,
        instance_type="ml.p3.2xlarge",
        output_path=f"s3://{bucket}/models/image_model",
        sagemaker_session=session,
    )
    estimator.set_hyperparameters(**HYPERPARAMETERS)

    def channel(key):
        return sagemaker.inputs.TrainingInput(f"s3://{bucket}/{key}", content_type="application/x-image")

    estimator.fit(
        {
            "train": channel("train/"),
            "validation": channel("validation/"),
            "train_lst": channel("train.lst"),
            "validation_lst": channel("validation.lst"),
        },
        logs=True,
        job_name=unique("sdk-bikes"),
    )
    printed = capsys.readouterr().out
    for epoch in range(2):
        assert printed.count(f"Epoch[{epoch}] Validation-accuracy=") == 1, printed
    assert "Training seconds:" in printed
    job = estimator.latest_training_job.name
    assert estimator.model_data == f"s3://{bucket}/models/image_model/{job}/output/model.tar.gz"
    again = sagemaker.estimator.Estimator.attach(job, sagemaker_session=session)
    assert again.model_data == estimator.model_data
    assert {name: str(value) for name, value in again.hyperparameters().items()} == HYPERPARAMETERS

    # Hosting
    capture = DataCaptureConfig(
        enable_capture=True, sampling_percentage=100, destination_s3_uri=f"s3://{bucket}/data_capture"
    )
    predictor = estimator.deploy(
        initial_instance_count=1, instance_type="ml.m5.xlarge", data_capture_config=capture, endpoint_name=unique("sdk")
    )
    predictor.serializer = IdentitySerializer("image/png")
    pictures = [path.read_bytes() for paths in images.validation.values() for path in paths[:3]]
    inferences = [json.loads(predictor.predict(picture)) for picture in pictures]
    assert all(sum(inference) == pytest.approx(1, abs=1e-5) for inference in inferences)
    assert len({tuple(inference) for inference in inferences}) == len(pictures)

    # What was captured
    where = f"s3://{bucket}/data_capture/{predictor.endpoint_name}"

    def records():
        files = [S3Downloader.read_file(uri, session) for uri in S3Downloader.list(where, session)]
        found = [json.loads(line) for text in files for line in text.splitlines()]
        return found if len(found) >= len(pictures) else None

    captured = wait_for(records, what="the captured inferences")
    outputs = sorted(json.loads(record["captureData"]["endpointOutput"]["data"]) for record in captured)
    assert outputs == sorted(inferences)

    # The end
    predictor.delete_model()
    predictor.delete_endpoint(delete_endpoint_config=True)

    def is_gone():
        listed = session.sagemaker_client.list_endpoints(NameContains=predictor.endpoint_name)
        return not listed["Endpoints"]

    wait_for(is_gone, what="the endpoint gone")


def test_a_failed_job_raises_with_its_reason(session, s3, images):
    bucket = session.default_bucket()
    images.upload(s3, bucket)
    estimator = sagemaker.estimator.Estimator(
        image_uri=sagemaker.image_uris.retrieve("image-classification", region="us-east-1"),
        role=ROLE,
        instance_count=1,
        instance_type="ml.p3.2xlarge",
        output_path=f"s3://{bucket}/models",
        sagemaker_session=session,
        hyperparameters={**HYPERPARAMETERS, "num_layers": "19"},
    )
    channel = sagemaker.inputs.TrainingInput(f"s3://{bucket}/train/", content_type="application/x-image")
    with pytest.raises(sagemaker.exceptions.UnexpectedStatusException, match="num_layers") as caught:
        estimator.fit({"train": channel}, logs=False, job_name=unique("sdk-failed"))
    assert caught.value.actual_status == "Failed"
