"""The images and requests that every telling of the story begins with."""

import base64
import itertools
import uuid

from harness import ROLE, run_program, wait_for

IMAGE = "811284229777.dkr.ecr.us-east-1.amazonaws.com/image-classification:1"
TRAIN_COUNT, VALIDATION_COUNT = 60, 20
CHANNELS = {
    "train": "train/",
    "validation": "validation/",
    "train_lst": "train.lst",
    "validation_lst": "validation.lst",
}
HYPERPARAMETERS = {
    "num_classes": "2",
    "num_training_samples": str(TRAIN_COUNT),
    "image_shape": "3,32,32",
    "epochs": "2",
    "mini_batch_size": "20",
}


def draw(directory):
    """The program's own drawings, all of them."""
    run_program("data", "import", "synthetic", "--output", directory, "--data-dir", directory.parent / "cache")
    return directory


class Images:
    """A few of the drawings, laid out as the four channels of the built-in algorithm."""

    def __init__(self, drawings, directory):
        self.directory = directory
        directory.mkdir()
        self.train = self._take(drawings, "train", "train", TRAIN_COUNT)
        self.validation = self._take(drawings, "test", "validation", VALIDATION_COUNT)

    def _take(self, drawings, source, channel, count):
        """Writes `channel`/ and `channel`.lst; gives the paths of each label."""
        (self.directory / channel).mkdir()
        paths, rows = {"0": [], "1": []}, []
        listed = (drawings / f"{source}.lst").read_text().splitlines()
        for index, row in enumerate(itertools.islice(listed, count)):
            _, label, name = row.split("\t")
            path = self.directory / channel / name
            path.write_bytes((drawings / source / name).read_bytes())
            paths[label].append(path)
            # SageMaker's lists may have gaps in the index.
            rows.append(f"{index * 3}\t{label}\t{name}\n")
        (self.directory / f"{channel}.lst").write_text("".join(rows))
        return paths

    def upload(self, s3, bucket):
        for path in self.directory.rglob("*"):
            if path.is_file():
                s3.upload_file(str(path), bucket, path.relative_to(self.directory).as_posix())

    @property
    def picture(self):
        """One image to ask about."""
        return self.validation["0"][0].read_bytes()


def unique(prefix):
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


def training_job(name, bucket, hyperparameters=(), **changes):
    """The request of a training job on what `Images.upload` has put into the bucket."""
    channels = [
        {
            "ChannelName": channel,
            "ContentType": "application/x-image",
            "DataSource": {
                "S3DataSource": {
                    "S3DataType": "S3Prefix",
                    "S3Uri": f"s3://{bucket}/{key}",
                    "S3DataDistributionType": "FullyReplicated",
                }
            },
        }
        for channel, key in CHANNELS.items()
    ]
    return {
        "TrainingJobName": name,
        "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        "RoleArn": ROLE,
        "InputDataConfig": channels,
        "OutputDataConfig": {"S3OutputPath": f"s3://{bucket}/models"},
        "ResourceConfig": {"InstanceType": "ml.p3.2xlarge", "InstanceCount": 1, "VolumeSizeInGB": 5},
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
        "HyperParameters": {**HYPERPARAMETERS, **dict(hyperparameters)},
        **changes,
    }


def finished(sagemaker, name, timeout=240):
    """The description of a training job when it has come to an end."""

    def description():
        description = sagemaker.describe_training_job(TrainingJobName=name)
        return description if description["TrainingJobStatus"] in ("Completed", "Failed", "Stopped") else None

    return wait_for(description, timeout, f"the end of the training job {name}")


class Trained:
    """A training job that has come to its end, for tests that look at it or need its model."""

    def __init__(self, aws, images):
        self.bucket, self.job = unique("story"), unique("bikes")
        aws.s3.create_bucket(Bucket=self.bucket)
        images.upload(aws.s3, self.bucket)
        self.request = training_job(self.job, self.bucket)
        self.arn = aws.sagemaker.create_training_job(**self.request)["TrainingJobArn"]
        self.description = finished(aws.sagemaker, self.job)
        assert self.description["TrainingJobStatus"] == "Completed", self.description.get("FailureReason")
        self.model_data = self.description["ModelArtifacts"]["S3ModelArtifacts"]
        key = self.model_data.removeprefix(f"s3://{self.bucket}/")
        self.artifact = aws.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()


def deploy(sagemaker, name, model_data, capture=None, variant="AllTraffic"):
    """Model, endpoint configuration and endpoint of one name, in service."""
    sagemaker.create_model(
        ModelName=name,
        ExecutionRoleArn=ROLE,
        PrimaryContainer={"Image": IMAGE, "ModelDataUrl": model_data, "Environment": {}},
    )
    configure(sagemaker, name, name, capture, variant)
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name, Tags=[])
    return in_service(sagemaker, name)


def configure(sagemaker, name, model, capture=None, variant="AllTraffic"):
    """An endpoint configuration; it captures every inference below `capture`."""
    options = {}
    if capture:
        options["DataCaptureConfig"] = {
            "EnableCapture": True,
            "InitialSamplingPercentage": 100,
            "DestinationS3Uri": capture,
            "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
            "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"], "JsonContentTypes": ["application/json"]},
        }
    return sagemaker.create_endpoint_config(
        EndpointConfigName=name,
        ProductionVariants=[
            {
                "VariantName": variant,
                "ModelName": model,
                "InitialInstanceCount": 1,
                "InstanceType": "ml.m5.xlarge",
                "InitialVariantWeight": 1.0,
            }
        ],
        **options,
    )


def in_service(sagemaker, name):
    """The endpoint's description once it serves; fails at once when it never will."""

    def description():
        description = sagemaker.describe_endpoint(EndpointName=name)
        assert description["EndpointStatus"] != "Failed", description["FailureReason"]
        return description if description["EndpointStatus"] == "InService" else None

    return wait_for(description, what=f"the endpoint {name} in service")


# A drawing of 32 x 32 pixels.
JPEG = base64.b64decode(
    """
    /9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABsSFBcUERsXFhceHBsgKEIrKCUlKFE6PTBCYFVlZF9VXVtqeJmBanGQc1tdhbWGkJ6jq62rZ4C8yb
    qmx5moq6T/2wBDARweHigjKE4rK06kbl1upKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKT/wAARCAAg
    ACADASIAAhEBAxEB/8QAGAAAAwEBAAAAAAAAAAAAAAAAAAIEAwH/xAAnEAACAgECBAYDAAAAAAAAAAABAgMRABIhBDFRYRMycYGRwUGh8P/EAB
    YBAQEBAAAAAAAAAAAAAAAAAAMAAf/EABgRAAMBAQAAAAAAAAAAAAAAAAABERIT/9oADAMBAAIRAxEAPwC3DFkkWNbYnc0AAST7DMxOrnRHevoy
    kUOtHHoCVNsMxMwiIWUkk+UgWW9h+f70eOVJL03Y5hlKn4OVNahOOIiHFlmbYoApo87N/Xx2xWli8eIh9Tgku1Hy0dvS62ydlDCmAI6HBVVBSq
    FHYVgdGNhFLSwtxJLPQ0AI1cjZuv1652SeMyw09spJYgEbUfutu3bJWUMKYAjocFVUFKoUdhWXRlhH/9k=
"""
)
