"""Images of several classes each: `multi_label=1`, from the labels to the endpoint's answers."""

import io
import json
import random
import struct
import tarfile
import zlib

import pytest

from harness import run_program
from story_data import deploy, finished, training_job, unique

COLOURS = [(220, 30, 30), (30, 220, 30), (30, 30, 220)]
COUNTS = {"train": 120, "validation": 40}


def png(pixels):
    """A picture of rows of colours."""

    def chunk(kind, content):
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    rows = b"".join(b"\0" + bytes(value for pixel in row for value in pixel) for row in pixels)
    header = struct.pack(">IIBBBBB", len(pixels[0]), len(pixels), 8, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def picture(flags, draws):
    """Grey noise with a square of each colour whose flag is set."""
    pixels = [[(draws.randrange(100, 160),) * 3 for _ in range(32)] for _ in range(32)]
    for colour in (colour for flag, colour in zip(flags, COLOURS) if flag):
        left, top = draws.randrange(20), draws.randrange(20)
        for row in pixels[top : top + 12]:
            row[left : left + 12] = [colour] * 12
    return png(pixels)


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    """The four channels of a job, and the flags of each picture."""
    folder, draws, flags = tmp_path_factory.mktemp("squares"), random.Random(1), {}
    for channel, count in COUNTS.items():
        (folder / channel).mkdir()
        rows = []
        for index in range(count):
            name, of = f"{index}.png", [draws.randrange(2) for _ in COLOURS]
            (folder / channel / name).write_bytes(picture(of, draws))
            flags[f"{channel}/{name}"] = of
            rows.append("\t".join(map(str, [index, *of, name])) + "\n")
        (folder / f"{channel}.lst").write_text("".join(rows))
    return folder, flags


@pytest.fixture(scope="module")
def bucket(aws, squares):
    folder, _ = squares
    bucket = unique("squares")
    aws.s3.create_bucket(Bucket=bucket)
    for path in folder.rglob("*"):
        if path.is_file():
            aws.s3.upload_file(str(path), bucket, path.relative_to(folder).as_posix())
    return bucket


def hyperparameters(**more):
    given = {"multi_label": "1", "num_classes": "3", "num_training_samples": str(COUNTS["train"]), "epochs": "12"}
    return {**given, **more}


@pytest.fixture(scope="module")
def listed(aws, bucket):
    """A job on the lists, which has a column for each class."""
    name = unique("listed")
    aws.sagemaker.create_training_job(**training_job(name, bucket, hyperparameters(use_weighted_loss="1")))
    description = finished(aws.sagemaker, name)
    assert description["TrainingJobStatus"] == "Completed", description.get("FailureReason")
    return description


def from_manifests(aws, bucket, write, content_type="application/x-recordio", **more):
    """The end of a job on augmented manifests whose labels `write` writes."""
    _, flags = more.pop("squares")
    name = unique("manifest")
    for channel in COUNTS:
        lines = [
            json.dumps({"source-ref": f"s3://{bucket}/{key}", "labels": write(of)})
            for key, of in flags.items()
            if key.startswith(channel)
        ]
        aws.s3.put_object(Bucket=bucket, Key=f"{name}/{channel}.manifest", Body="\n".join(lines).encode())
    channels = [
        {
            "ChannelName": channel,
            "ContentType": content_type,
            "RecordWrapperType": "RecordIO",
            "InputMode": "Pipe",
            "DataSource": {
                "S3DataSource": {
                    "S3DataType": "AugmentedManifestFile",
                    "S3Uri": f"s3://{bucket}/{name}/{channel}.manifest",
                    "AttributeNames": ["source-ref", "labels"],
                }
            },
        }
        for channel in COUNTS
    ]
    request = training_job(name, bucket, hyperparameters(epochs="1", **more), InputDataConfig=channels)
    aws.sagemaker.create_training_job(**request)
    return finished(aws.sagemaker, name)


def test_the_metrics_are_the_average_accuracy_over_all_classes(listed):
    metrics = {metric["MetricName"]: metric["Value"] for metric in listed["FinalMetricDataList"]}
    assert set(metrics) == {"train:accuracy", "validation:accuracy", "validation:calibration_error"}
    # A multiple of one answer to one class of one picture, and not of one picture.
    answers = metrics["validation:accuracy"] * COUNTS["validation"] * len(COLOURS)
    assert abs(answers - round(answers)) < 0.01
    assert metrics["validation:accuracy"] > 0.7


def test_the_artefact_says_what_it_is(aws, listed, bucket):
    key = listed["ModelArtifacts"]["S3ModelArtifacts"].removeprefix(f"s3://{bucket}/")
    artefact = aws.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(artefact)) as archive:
        assert json.load(archive.extractfile("model.json"))["labels"] == "multi"


def test_an_endpoint_answers_with_independent_probabilities(aws, listed, squares):
    folder, flags = squares
    name = unique("squares")
    deploy(aws.sagemaker, name, listed["ModelArtifacts"]["S3ModelArtifacts"])

    def ask(key, accept="application/json"):
        answer = aws.runtime.invoke_endpoint(
            EndpointName=name, ContentType="image/png", Accept=accept, Body=(folder / key).read_bytes()
        )
        return json.loads(answer["Body"].read())

    sums = {0: [], 3: []}
    for key, of in flags.items():
        if sum(of) in sums and len(sums[sum(of)]) < 5:
            shares = ask(key)
            assert len(shares) == 3 and all(0 <= share <= 1 for share in shares)
            sums[sum(of)].append(sum(shares))
    assert max(sums[0]) < min(sums[3]), sums
    assert min(sums[3]) > 1.5, "all three classes are likelier than not"
    key = next(iter(flags))
    assert ask(key, "application/jsonlines")["prediction"] == ask(key)


@pytest.mark.parametrize(
    "write, content_type",
    [
        (lambda of: of, "application/x-recordio"),
        (lambda of: of, "application/x-recordio; label-format=multi-hot"),
        (
            lambda of: [number for number, flag in enumerate(of) if flag],
            "application/x-recordio; label-format=class-id",
        ),
    ],
    ids=["default", "multi-hot", "class-id"],
)
def test_manifests_have_lists_of_labels(aws, bucket, squares, write, content_type):
    description = from_manifests(aws, bucket, write, content_type, squares=squares)
    assert description["TrainingJobStatus"] == "Completed", description.get("FailureReason")


@pytest.mark.parametrize(
    "write, content_type, more, named",
    [
        (lambda of: sum(of), "", {}, "line 1: the label"),
        (lambda of: of[:2], "", {}, "line 1: it has 2 labels, but there are 3 classes"),
        (lambda of: of, "", {"multi_label": "0"}, "line 1: it has 3 labels, and one is expected"),
        (lambda of: [3], "; label-format=class-id", {}, "line 1: the label 3 is not one of the 3 classes"),
        (lambda of: of, "; label-format=one-hot", {}, "the label-format 'one-hot'"),
        (lambda of: of, "", {"top_k": "2"}, "hyperparameter 'top_k'"),
    ],
    ids=["no list", "too few", "one is expected", "no class", "format", "top_k"],
)
def test_labels_that_do_not_fit_are_named(aws, bucket, squares, write, content_type, more, named):
    content_type = f"application/x-recordio{content_type}"
    description = from_manifests(aws, bucket, write, content_type, squares=squares, **more)
    assert description["TrainingJobStatus"] == "Failed"
    assert named in description["FailureReason"]


def test_a_model_is_trained_asked_and_measured_without_a_server(tmp_path, squares):
    folder, flags = squares
    model = tmp_path / "model.tar.gz"

    def document(*arguments):
        return json.loads(run_program(*arguments, "--json").stdout)

    (tmp_path / "data").mkdir()
    for path in ["train", "train.lst", "validation", "validation.lst"]:
        (tmp_path / "data" / path).symlink_to(folder / path)
    trained = document("train", tmp_path / "data", "-H", "epochs=3", "--output", model, "--data-dir", tmp_path)
    assert trained["trainingImages"] == COUNTS["train"] and trained["testImages"] == COUNTS["validation"]

    key, of = next((key, of) for key, of in flags.items() if key.startswith("validation"))
    (answer,) = document("predict", "--model", model, folder / key)
    assert set(answer["probabilities"]) == {"0", "1", "2"}
    assert answer["classes"] == [name for name, share in sorted(answer["probabilities"].items()) if share >= 0.5]

    measured = document("evaluate", "--model", model, folder / "validation.lst")
    assert measured["accuracy"] == trained["accuracy"] >= measured["exactAccuracy"]
    assert "confusion" not in measured
    assert [of["images"] for of in measured["classes"]] == [
        sum(of[number] for key, of in flags.items() if key.startswith("validation")) for number in range(3)
    ]
    for mistake in measured["mistakes"]:
        assert mistake["classes"] != mistake["answer"]

    imported = tmp_path / "imported"
    run_program("data", "import", folder / "train.lst", "--output", imported, "--data-dir", tmp_path)
    rows = [row.split("\t") for part in ("train", "test") for row in (imported / f"{part}.lst").read_text().splitlines()]
    assert len(rows) == COUNTS["train"]
    for _, *labels, name in rows:
        assert [int(label) for label in labels] == flags[f"train/{name}"]
