"""Models of other programs, in ONNX: the endpoint answers what ONNX Runtime answers in Python."""

import concurrent.futures
import json
import pathlib
import shutil
import subprocess
import urllib.request

import numpy
import onnxruntime
import pytest

import onnx_models
from harness import Clients, Server, run_program, wait_for
from onnx_models import archive, classifier, packed, png
from story_data import JPEG, configure, deploy, unique

# The library inside the Python package; what is called libonnxruntime_* are others.
LIBRARY = next(pathlib.Path(onnxruntime.__file__).parent.glob("capi/libonnxruntime.*"))
MEAN, DEVIATION = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
PIXELS = numpy.random.default_rng(1).integers(0, 256, (32, 32, 3), numpy.uint8)


def expected(model, pixels=PIXELS, mean=MEAN, deviation=DEVIATION, channels_last=False, softmax=True):
    """ONNX Runtime's own answer."""
    image = ((pixels / 255 - mean) / deviation).astype("float32")
    batch = (image if channels_last else image.transpose(2, 0, 1))[None]
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    scores = session.run(None, {session.get_inputs()[0].name: batch})[0][0]
    if not softmax:
        return scores
    powers = numpy.exp(scores - scores.max())
    return powers / powers.sum()


@pytest.fixture(scope="module")
def hosting(tmp_path_factory):
    """A server that is told where ONNX Runtime is, and its clients."""
    server = Server(tmp_path_factory.mktemp("onnx") / "data")
    server.variables = {"ORT_DYLIB_PATH": str(LIBRARY)}
    yield Clients(server.start())
    assert server.stop() == 0, "the library does not get in the way of stopping"


@pytest.fixture(scope="module")
def bucket(hosting):
    hosting.s3.create_bucket(Bucket="models")
    return "models"


def upload(aws, artefact, bucket="models"):
    key = f"{unique('model')}.tar.gz"
    aws.s3.put_object(Bucket=bucket, Key=key, Body=artefact)
    return f"s3://{bucket}/{key}"


def host(aws, artefact, **options):
    """An endpoint in service."""
    name = unique("onnx")
    deploy(aws.sagemaker, name, upload(aws, artefact), **options)
    return name


def invoke(aws, endpoint, pixels=PIXELS, **options):
    answer = aws.runtime.invoke_endpoint(
        EndpointName=endpoint, ContentType="image/png", Body=png(pixels), **options
    )
    return json.loads(answer["Body"].read())


def failure(aws, artefact):
    """Why an endpoint fails to come into service."""
    name = unique("failing")
    model = upload(aws, artefact)
    container = {"Image": f"{'8' * 12}.dkr.ecr.us-east-1.amazonaws.com/image-classification:1", "ModelDataUrl": model}
    aws.sagemaker.create_model(ModelName=name, PrimaryContainer=container)
    configure(aws.sagemaker, name, name)
    aws.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)

    def ended():
        description = aws.sagemaker.describe_endpoint(EndpointName=name)
        return description if description["EndpointStatus"] != "Creating" else None

    description = wait_for(ended, what="the endpoint's end")
    assert description["EndpointStatus"] == "Failed", description
    return description["FailureReason"]


def near(answer, truth):
    numpy.testing.assert_allclose(answer, truth, rtol=1e-4, atol=1e-6)
    return True


def test_a_model_without_a_description(hosting, bucket):
    model = classifier()
    endpoint = host(hosting, archive(model_onnx=model))
    assert near(invoke(hosting, endpoint), expected(model))
    for content_type in ["image/jpeg", "application/x-image"]:
        answer = hosting.runtime.invoke_endpoint(EndpointName=endpoint, ContentType=content_type, Body=JPEG)
        scores = json.loads(answer["Body"].read())
        assert (answer["ContentType"], answer["InvokedProductionVariant"]) == ("application/json", "AllTraffic")
        assert len(scores) == 3 and near(sum(scores), 1)


def test_a_model_with_a_description(hosting, bucket):
    model = classifier(shape=(1, 32, 32, 3), channels_last=True, last="Softmax")
    said = {"classes": ["a", "b", "c"], "mean": [0, 0, 0], "std": [1, 1, 1]}
    endpoint = host(hosting, packed({"export/net.onnx": model, "export/model.json": json.dumps(said).encode()}))
    truth = expected(model, mean=[0, 0, 0], deviation=[1, 1, 1], channels_last=True, softmax=False)
    assert near(invoke(hosting, endpoint), truth)
    answer = hosting.runtime.invoke_endpoint(
        EndpointName=endpoint, ContentType="image/png", Body=png(PIXELS), Accept="application/jsonlines"
    )
    assert near(json.loads(answer["Body"].read())["prediction"], truth)


def test_independent_probabilities_are_left_as_they_are(hosting, bucket):
    model = classifier(last="Sigmoid")
    answer = invoke(hosting, host(hosting, archive(model_onnx=model)))
    assert near(answer, expected(model, softmax=False)) and sum(answer) != pytest.approx(1, abs=1e-3)


def test_weights_in_a_file_beside_the_model(hosting, bucket):
    model, weights = classifier(file="net.onnx.data")
    endpoint = host(hosting, packed({"1/net.onnx": model, "1/net.onnx.data": weights}))
    assert near(invoke(hosting, endpoint), expected(classifier()))


def test_an_image_of_another_size_is_fitted(hosting, bucket):
    model = classifier(shape=("N", 3, "H", "W"))
    said = json.dumps({"width": 16, "height": 8, "resize": 32}).encode()
    endpoint = host(hosting, archive(model_onnx=model, model_json=said))
    # The shortest side fits already, so the middle is cut out.
    assert near(invoke(hosting, endpoint), expected(model, PIXELS[12:20, 8:24]))
    large = numpy.full((300, 200, 3), 77, numpy.uint8)
    assert near(invoke(hosting, endpoint, large), expected(model, large[:8, :16]))


def test_inferences_are_captured_and_survive_a_restart(hosting, bucket, tmp_path):
    server = Server(tmp_path / "data")
    server.variables = {"ORT_DYLIB_PATH": str(LIBRARY)}
    aws = Clients(server.start())
    aws.s3.create_bucket(Bucket=bucket)
    model = classifier()
    endpoint = host(aws, archive(model_onnx=model), capture=f"s3://{bucket}/captured")
    invoke(aws, endpoint, InferenceId="this-one")

    def record():
        listed = aws.s3.list_objects_v2(Bucket=bucket, Prefix="captured/").get("Contents", [])
        return aws.s3.get_object(Bucket=bucket, Key=listed[0]["Key"])["Body"].read() if listed else None

    line = json.loads(wait_for(record, what="the captured inference"))
    assert line["eventMetadata"]["inferenceId"] == "this-one"
    assert near(json.loads(line["captureData"]["endpointOutput"]["data"]), expected(model))
    server.restart()
    assert near(invoke(aws, endpoint), expected(model))
    assert server.stop() == 0


def test_many_clients_at_once_get_the_answers_of_one(hosting, bucket):
    model = classifier()
    endpoints = [host(hosting, archive(model_onnx=model)) for _ in range(2)]
    pictures = numpy.random.default_rng(2).integers(0, 256, (12, 32, 32, 3), numpy.uint8)
    truth = [expected(model, picture) for picture in pictures]
    calls = [(endpoint, at) for at in range(len(pictures)) for endpoint in endpoints]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda call: invoke(hosting, call[0], pictures[call[1]]), calls))
    assert all(near(answer, truth[at]) for answer, (_, at) in zip(answers, calls, strict=True))
    for endpoint in endpoints:
        hosting.sagemaker.delete_endpoint(EndpointName=endpoint)


def test_what_the_model_refuses_is_a_model_error(hosting, bucket):
    # Over zero, and with nothing over nothing: a number for grey pictures, none for a black one.
    nodes = [
        onnx_models.node("GlobalAveragePool", "image", "g"),
        onnx_models.node("Flatten", "g", "f", axis=1),
        onnx_models.node("Div", "f f", "scores"),
    ]
    model = onnx_models.model(nodes, [], [onnx_models.value("image", (1, 3, 8, 8))], [onnx_models.value("scores", (1, 3))])
    said = json.dumps({"mean": [0, 0, 0], "std": [1, 1, 1]}).encode()
    endpoint = host(hosting, archive(model_onnx=model, model_json=said))
    assert near(invoke(hosting, endpoint, PIXELS[:8, :8]), [1 / 3] * 3)
    for body, status, words in [
        (png(numpy.zeros((8, 8, 3), numpy.uint8)), 500, "it gives the score NaN"),
        (b"no image", 400, "not a PNG or JPEG image"),
    ]:
        with pytest.raises(hosting.runtime.exceptions.ModelError) as caught:
            hosting.runtime.invoke_endpoint(EndpointName=endpoint, ContentType="image/png", Body=body)
        assert caught.value.response["OriginalStatusCode"] == status
        assert words in caught.value.response["OriginalMessage"]


IMAGE, SCORES = onnx_models.value("image", (1, 3, 8, 8)), onnx_models.value("scores", (1, 3))


def through(operation, image=IMAGE, scores=SCORES, more=(), **attributes):
    """A model of one operation that means nothing."""
    node = onnx_models.node(operation, "image", "scores", **attributes)
    return onnx_models.model([node], [], [image, *more], [scores])


def constant(weight):
    """A model with a tensor in an attribute."""
    attribute = onnx_models.field(1, "value") + onnx_models.field(5, weight) + onnx_models.field(20, 4)
    node = onnx_models.field(2, "scores") + onnx_models.field(4, "Constant") + onnx_models.field(5, attribute)
    return onnx_models.model([node], [], [IMAGE], [SCORES])


def hidden():
    """A weight in another file, behind a tag of which ONNX Runtime's reader drops a bit: then it is 13."""
    entry = onnx_models.field(1, "location") + onnx_models.field(2, "w.bin")
    tensor = onnx_models.tensor("w", [1, 2, 3], "w.bin")
    plain, odd = bytes([13 << 3 | 2, len(entry)]) + entry, b"\xea\x80\x80\x80\x10" + bytes([len(entry)]) + entry
    assert plain in tensor
    return onnx_models.model([onnx_models.node("Add", "image w", "scores")], [tensor.replace(plain, odd)], [IMAGE], [SCORES])


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"model.onnx": b"damaged"}, "model.onnx is damaged, or no ONNX model that is taken here: its fields do not add up"),
        ({"a.onnx": through("Relu"), "b.onnx": through("Relu")}, "holds several ONNX files (a.onnx, b.onnx): leave one"),
        ({"model.onnx": classifier(file="w.bin")[0]}, 'has weights in the file "w.bin", which the model archive does not'),
        ({"model.onnx": classifier(file="../w.bin")[0]}, "no plain path below the model's folder"),
        ({"model.onnx": hidden(), "w.bin": bytes(12)}, "its fields do not add up"),
        ({"model.onnx": constant(onnx_models.tensor("w", [1, 2, 3], "w.bin")), "w.bin": bytes(12)}, "values in another file"),
        ({"model.onnx": classifier(), "code/inference.py": b""}, "a script for inference, which is not run here"),
        ({"model.onnx": through("NoSuchThing")}, "ONNX Runtime does not take model.onnx: "),
        ({"model.onnx": through("Relu", onnx_models.value("image", (1, 1, 8, 8)))}, "no dimension is 3, the channels"),
        ({"model.onnx": through("Relu", onnx_models.value("image", (4, 3, 8, 8)))}, "the batch must be 1 or dynamic"),
        ({"model.onnx": through("Relu", onnx_models.value("image", (1, 3)))}, "four dimensions are needed"),
        ({"model.onnx": through("Relu", onnx_models.value("image", (1, 3, "H", 8)))}, "its height is dynamic: say"),
        ({"model.onnx": through("Cast", onnx_models.value("image", (1, 3, 8, 8), 2), to=1)}, "32-bit floats are needed"),
        ({"model.onnx": through("Relu", more=[onnx_models.value("mask", (1,))])}, "it has 2 inputs (image, mask), not one"),
        ({"model.onnx": through("Relu", scores=onnx_models.value("scores", (1, 3, 8, 8)))}, "has the shape [1, 3, 8, 8]"),
        ({"model.onnx": through("Shape", scores=onnx_models.value("scores", (4,), 7))}, "is no tensor of 32-bit floats"),
        ({"model.onnx": classifier(classes=1)}, "with at least two classes"),
        ({"model.onnx": classifier(scale=float("inf"))}, "it gives the score"),
        ({"model.onnx": classifier(), "model.json": b'{"classes": ["a", "b"]}'}, "3 scores, and model.json names 2 classes"),
        ({"model.onnx": classifier(), "model.json": b'{"width": 64}'}, "model.json says width 64"),
        ({"model.onnx": classifier(), "model.json": b'{"output": "y"}'}, 'model.json says "output" "y", and it has scores'),
        ({"model.onnx": classifier(), "model.json": b'{"scores": "probabilities"}'}, "if these are logits, say so"),
        ({"model.onnx": classifier(), "model.json": b'{"name": 1}'}, "model.json beside the ONNX file is malformed: unknown"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_a_model_that_cannot_be_hosted_says_why(hosting, bucket, files, reason):
    assert reason in failure(hosting, packed(files))


def no_runtime(tmp_path):
    return tmp_path / "libonnxruntime.so", "cannot be loaded: "


def old_runtime(tmp_path):
    """A library of the right kind that says that it is old."""
    if not shutil.which("cc"):
        pytest.skip("no C compiler to make an old library with")
    source, library = tmp_path / "old.c", tmp_path / "libonnxruntime.so"
    source.write_text(
        'static const char *version(void) { return "1.10.0"; }\n'
        "static const void *interface(unsigned wanted) { return 0; }\n"
        "static const struct { const void *(*i)(unsigned); const char *(*v)(void); } base = {interface, version};\n"
        "const void *OrtGetApiBase(void) { return &base; }\n"
    )
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    return library, "but got '1.10.0'"


def no_library(tmp_path):
    library = tmp_path / "libonnxruntime.so"
    library.write_text("no library")
    return library, "libonnxruntime.so cannot be loaded: "


@pytest.mark.parametrize("runtime", [no_runtime, old_runtime, no_library])
def test_without_onnx_runtime_the_endpoint_says_what_to_do(trained, tmp_path, runtime):
    library, why = runtime(tmp_path)
    server = Server(tmp_path / "data")
    server.variables = {"ORT_DYLIB_PATH": str(library)}
    aws = Clients(server.start())
    aws.s3.create_bucket(Bucket="models")
    reason = failure(aws, archive(model_onnx=classifier()))
    assert "needs ONNX Runtime, which this machine lacks" in reason and why in reason, reason
    assert "name its shared library in ORT_DYLIB_PATH" in reason
    # Others are not touched by it.
    assert len(invoke(aws, host(aws, trained.artifact))) == 2
    with urllib.request.urlopen(f"{server.endpoint}/_scones/health") as health:
        assert health.status == 200
    assert server.stop() == 0


def test_predict_evaluate_and_doctor_know_it(tmp_path):
    model = classifier(last="Softmax")
    (tmp_path / "m.tar.gz").write_bytes(archive(model_onnx=model, model_json=b'{"classes": ["x", "y", "z"]}'))
    (tmp_path / "i.png").write_bytes(png(PIXELS))
    predict = ["predict", tmp_path / "i.png", "--model", tmp_path / "m.tar.gz"]
    [answer] = json.loads(run_program(*predict, "--json", "--onnx-runtime", LIBRARY).stdout)
    truth = expected(model, softmax=False)
    assert answer["class"] == "xyz"[truth.argmax()]
    assert near([answer["probabilities"][name] for name in "xyz"], truth)
    folder = tmp_path / "photos"
    right, wrong = "xyz"[truth.argmax()], "xyz"[truth.argmin()]
    for name in [right, wrong]:
        (folder / name).mkdir(parents=True)
        (folder / name / "i.png").write_bytes(png(PIXELS))
    evaluate = run_program("evaluate", folder, "--model", tmp_path / "m.tar.gz", "--json", "--onnx-runtime", LIBRARY)
    measured = json.loads(evaluate.stdout)
    assert measured["accuracy"] == 0.5 and near(measured["loss"], -numpy.log([truth.max(), truth.min()]).mean())
    assert [(one["answer"], one["confidence"]) for one in measured["mistakes"]] == [(right, pytest.approx(truth.max()))]
    (tmp_path / "twelve.tar.gz").write_bytes(archive(model_onnx=classifier(classes=12)))
    other = ["evaluate", folder, "--model", tmp_path / "twelve.tar.gz", "--onnx-runtime", LIBRARY]
    assert "apart 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ... (12 in all)" in run_program(*other, check=False).stderr
    refusal = run_program(*predict, check=False, ORT_DYLIB_PATH="/nowhere/lib.so")
    assert refusal.returncode == 1 and "install ONNX Runtime 1.18 or newer" in refusal.stderr

    def verdict(library):
        doctor = run_program("doctor", "--json", "--data-dir", tmp_path / "data", ORT_DYLIB_PATH=library)
        [check] = [check for check in json.loads(doctor.stdout) if check["subject"] == "ONNX Runtime"]
        return check["verdict"]

    assert (verdict(str(LIBRARY)), verdict("/nowhere/lib.so")) == ("ok", "note")
