"""The program's own commands: exit codes, what goes to stdout, and errors with hints."""

import json
import os
import shlex
import signal
import socket
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from harness import PROGRAM, Clients, Server, clean_environment, run_program
from story_data import JPEG


def fails(*arguments, **environment):
    """stderr of a command that must fail with nothing on stdout."""
    result = run_program(*arguments, check=False, **environment)
    assert result.returncode == 1, (result.returncode, result.stdout, result.stderr)
    assert result.stdout == ""
    assert result.stderr.startswith("error: "), result.stderr
    assert "panicked" not in result.stderr
    return result.stderr


# env


def test_env_points_a_shell_at_the_server(server):
    text = run_program("env", "--data-dir", server.directory).stdout
    script = f"{text}\nexec env"
    shell = subprocess.run(
        ["sh", "-c", script],
        check=True,
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "AWS_SESSION_TOKEN": "of another account", "AWS_PROFILE": "work"},
    )
    variables = dict(line.split("=", 1) for line in shell.stdout.splitlines() if line.startswith("AWS_"))
    assert variables == server.environment
    assert variables["AWS_ENDPOINT_URL"] == server.endpoint
    assert variables["AWS_REGION"] == variables["AWS_DEFAULT_REGION"] == "us-east-1"
    assert variables["AWS_DISABLE_HOST_PREFIX_INJECTION"] == "true"
    assert variables["AWS_ACCESS_KEY_ID"].startswith("AKIA")


def test_env_before_the_first_start_says_what_to_do(tmp_path):
    stderr = fails("env", "--json", "--data-dir", tmp_path / "fresh")
    assert f"scones up --data-dir {tmp_path / 'fresh'}" in stderr
    assert not (tmp_path / "fresh").exists(), "it makes nothing"


def test_env_after_a_server_says_that_none_runs(own_server):
    assert own_server.stop() == 0
    result = run_program("env", "--json", "--data-dir", own_server.directory)
    assert "no server runs on" in result.stderr
    assert "scones up" in result.stderr
    variables = json.loads(result.stdout)
    assert variables == own_server.environment | {"AWS_ENDPOINT_URL": "http://127.0.0.1:4566"}


def test_the_data_directory_is_private(own_server):
    for path in [own_server.directory, own_server.directory / "credentials"]:
        assert path.stat().st_mode & 0o077 == 0, path


# doctor


def findings(directory, **environment):
    result = run_program("doctor", "--json", "--data-dir", directory, check=False, **environment)
    return result.returncode, {check["subject"]: check for check in json.loads(result.stdout)}


def test_doctor_finds_a_running_server(server):
    code, checks = findings(server.directory)
    assert code == 0
    assert {check["verdict"] for check in checks.values()} <= {"ok", "note"}
    assert checks["server"]["verdict"] == "ok"
    assert server.endpoint in checks["server"]["finding"]
    assert "Python 3." in checks["python"]["finding"]


def test_doctor_notes_what_is_missing(tmp_path):
    code, checks = findings(tmp_path / "fresh", PATH="/nowhere")
    assert code == 0
    assert (checks["python"]["verdict"], checks["server"]["verdict"]) == ("note", "note")
    assert f"scones up --data-dir {tmp_path / 'fresh'}" in checks["server"]["finding"]
    assert not (tmp_path / "fresh").exists(), "a check makes nothing"


def test_doctor_sees_a_server_that_has_gone(own_server):
    own_server.kill()
    code, checks = findings(own_server.directory)
    assert (code, checks["server"]["verdict"]) == (0, "note")


def test_doctor_calls_a_broken_directory_a_problem(tmp_path):
    (tmp_path / "file").write_text("not a directory")
    code, checks = findings(tmp_path / "file")
    assert (code, checks["data directory"]["verdict"]) == (1, "problem")


def test_doctor_looks_into_the_database(own_server):
    Clients(own_server).s3.create_bucket(Bucket="kept")
    running = findings(own_server.directory)[1]["database"]
    assert (running["verdict"], f"(number {own_server.process.pid})" in running["finding"]) == ("ok", True), running
    own_server.kill()
    before = {path.name for path in own_server.directory.iterdir()}
    code, checks = findings(own_server.directory)
    assert (code, checks["database"]) == (0, {"subject": "database", "verdict": "ok", "finding": "can be read"})
    assert {path.name for path in own_server.directory.iterdir()} <= before | {"scones.db-shm"}
    # After a kill, everything may still be in the log beside the database.
    own_server.start()
    own_server.stop()
    database = own_server.directory / "scones.db"
    database.write_bytes(database.read_bytes()[:5000])
    code, checks = findings(own_server.directory)
    assert (code, checks["database"]["verdict"]) == (1, "problem")
    assert f"if {database} is damaged, restore the directory from a copy" in checks["database"]["finding"]


# up


def test_up_is_ready_soon_and_says_where(tmp_path):
    began = time.monotonic()
    process = subprocess.Popen(
        [PROGRAM, "up", "--listen", "127.0.0.1:0", "--data-dir", tmp_path / "data"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(),
    )
    first = process.stdout.readline()
    assert time.monotonic() - began < 10
    process.send_signal(signal.SIGTERM)
    rest, talk = process.stdout.read(), process.stderr.read()
    process.wait(30)
    assert first.startswith("Scones is ready at http://127.0.0.1:")
    assert str(tmp_path / "data") in rest
    # The command that it tells the user must find this server.
    hint = next(line for line in rest.splitlines() if "scones env" in line)
    arguments = shlex.split(hint[hint.index("scones env") : hint.index(")")])
    assert arguments[2:] == ["--data-dir", str(tmp_path / "data")]
    assert "stopping" in talk
    assert process.returncode == 0


def test_up_on_a_taken_port(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        stderr = fails("up", "--listen", address, "--data-dir", tmp_path / "data")
    assert f"cannot listen on {address}" in stderr
    assert "hint: " in stderr
    assert "--listen" in stderr


def test_a_second_server_on_the_same_directory_is_refused(own_server):
    stderr = fails("up", "--listen", "127.0.0.1:0", "--data-dir", own_server.directory)
    assert str(own_server.directory) in stderr
    assert f"{own_server.process.pid}" in stderr
    assert "in use" in stderr
    # The first one has not noticed, and is still the one that clients are pointed at.
    assert json.loads(run_program("env", "--json", "--data-dir", own_server.directory).stdout) == own_server.environment
    assert own_server.client("sts").get_caller_identity()["Account"] == "000000000000"


def test_a_directory_whose_server_was_killed_is_free(own_server):
    own_server.kill()
    own_server.start()
    assert own_server.client("s3").list_buckets()["Buckets"] == []


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["up", "--listen", "nowhere"], "--listen"),
        (["up", "--account", "12"], "--account"),
        (["up", "--region", "Nowhere!"], "--region"),
        (["data", "import", "synthetic"], "--output"),
        (["nonsense"], "nonsense"),
    ],
)
def test_wrong_arguments_are_named(arguments, named):
    result = run_program(*arguments, check=False)
    assert (result.returncode, result.stdout) == (2, "")
    assert named in result.stderr


def test_account_and_region_are_those_asked_for(tmp_path):
    """In what `env` says and in what the server answers."""
    server = Server(tmp_path / "data")
    server.variables = {"SCONES_ACCOUNT": "123456789012", "SCONES_REGION": "eu-central-1"}
    server.start()
    try:
        assert server.environment["AWS_REGION"] == "eu-central-1"
        assert server.client("sts").get_caller_identity()["Account"] == "123456789012"
    finally:
        server.stop()


# data import


@pytest.fixture
def photos(tmp_path, images):
    """A folder with a few images, and the way to list them."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for label, paths in images.train.items():
        for number, path in enumerate(paths[:10]):
            (folder / f"{label}-{number}.png").write_bytes(path.read_bytes())
    return folder


def listed(photos, rows):
    path = photos / "photos.lst"
    path.write_text("".join("\t".join(map(str, row)) + "\n" for row in rows))
    return path


def rows_of(photos, labels="01"):
    names = sorted(path.name for path in photos.glob("*.png") if path.name[0] in labels)
    return [(index, name[0], name) for index, name in enumerate(names)]


def import_fails(tmp_path, source, *more):
    output = tmp_path / "output"
    stderr = fails("data", "import", source, "--output", output, "--data-dir", tmp_path / "cache", *more)
    assert not output.exists() or not any(output.iterdir()), "nothing half done is left"
    return stderr


def test_a_list_becomes_channels(tmp_path, photos):
    rows = rows_of(photos)
    result = run_program(
        "data", "import", listed(photos, rows), "--output", tmp_path / "output", "--data-dir", tmp_path, "--json"
    )
    document = json.loads(result.stdout)
    assert sum(document["trainCounts"]) + sum(document["testCounts"]) == len(rows) == 20
    assert document["trainCounts"] == [8, 8]
    for channel, count in [("train", 16), ("test", 4)]:
        lines = (tmp_path / "output" / f"{channel}.lst").read_text().splitlines()
        assert len(lines) == count
        for line in lines:
            _, label, name = line.split("\t")
            path = tmp_path / "output" / channel / name
            assert path.read_bytes().startswith(b"\x89PNG")
            assert name.startswith(label), "the label is still that of the image"


def test_a_folder_of_classes_becomes_channels(tmp_path, images):
    for label, name in [("0", "bicycle"), ("1", "motorcycle")]:
        (tmp_path / "photos" / name).mkdir(parents=True)
        for path in images.train[label][:5]:
            (tmp_path / "photos" / name / path.name).write_bytes(path.read_bytes())
    (tmp_path / "photos" / "bicycle" / "photo.jpg").write_bytes(JPEG)
    result = run_program(
        "data", "import", tmp_path / "photos", "--output", tmp_path / "output", "--data-dir", tmp_path, "--json"
    )
    document = json.loads(result.stdout)
    assert document["classes"] == ["bicycle", "motorcycle"]
    assert sum(document["trainCounts"]) + sum(document["testCounts"]) == 11


def test_a_missing_file_is_named_with_its_line(tmp_path, photos):
    rows = rows_of(photos)
    rows.insert(4, (99, 0, "gone.png"))
    stderr = import_fails(tmp_path, listed(photos, rows))
    assert "photos.lst line 5" in stderr
    assert "gone.png does not exist" in stderr
    assert "remove the row" in stderr


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("just one column", "separated by tabs"),
        ("1\tbicycle\t0-0.png", "bicycle"),
        ("one\t0\t0-0.png", "one"),
        ("1\t0\t../secret.png", "../secret.png"),
        ("1\t0\t/etc/passwd", "/etc/passwd"),
        ("1\t-1\t0-0.png", "-1"),
        ("1\t0\tbroken.png", "broken.png"),
    ],
)
def test_a_bad_row_is_named_with_its_line(tmp_path, photos, row, said):
    (photos / "broken.png").write_bytes(b"\x89PNG and no more")
    path = listed(photos, rows_of(photos, "01")[:3])
    path.write_text(path.read_text() + row + "\n")
    stderr = import_fails(tmp_path, path)
    assert "photos.lst line 4" in stderr
    assert said in stderr


def test_one_class_is_not_enough(tmp_path, photos):
    stderr = import_fails(tmp_path, listed(photos, rows_of(photos, "0")))
    assert "photos.lst are of one class, 0: add images of another class" in stderr


def test_a_truncated_archive_is_named(tmp_path):
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    (folder / "train").write_bytes(os.urandom(100_000))
    whole = tmp_path / "whole.tar.gz"
    with tarfile.open(whole, "w:gz") as archive:
        archive.add(folder, "cifar-100-python")
    cut = tmp_path / "cut.tar.gz"
    cut.write_bytes(whole.read_bytes()[:40_000])
    stderr = import_fails(tmp_path, cut)
    assert "cut.tar.gz" in stderr
    assert any(word in stderr for word in ("truncated", "too early", "incomplete", "ends")), stderr


def test_a_pickle_that_would_run_code_runs_nothing(tmp_path):
    """The classic: a reduce of os.system."""
    marker = tmp_path / "pwned"
    pickle = b"cos\nsystem\n(S'touch " + str(marker).encode() + b"'\ntR."
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    for name in ("meta", "train", "test"):
        (folder / name).write_bytes(pickle)
    with tarfile.open(tmp_path / "evil.tar.gz", "w:gz") as archive:
        archive.add(folder, "cifar-100-python")
    for source in (tmp_path / "evil.tar.gz", folder):
        stderr = import_fails(tmp_path, source)
        assert "not the expected pickle" in stderr
    assert not marker.exists()


def test_a_wrong_path_is_named_with_what_is_possible(tmp_path):
    stderr = import_fails(tmp_path, tmp_path / "nowhere")
    assert f"{tmp_path / 'nowhere'} does not exist" in stderr
    assert "synthetic" in stderr


def test_a_repeated_row_lies_in_one_part(tmp_path, photos):
    rows = rows_of(photos)
    rows += [(100 + at, label, f"./{name}") for at, (_, label, name) in enumerate(rows)]
    result = run_program(
        "data", "import", listed(photos, rows), "--output", tmp_path / "output", "--data-dir", tmp_path / "cache"
    )
    assert "20 rows have the path of an earlier row" in result.stderr
    assert "left out 20 rows" in result.stderr
    names = [
        line.split("\t")[2]
        for part in ("train", "test")
        for line in (tmp_path / "output" / f"{part}.lst").read_text().splitlines()
    ]
    assert sorted(names) == sorted({name for _, _, name in rows_of(photos)})
    assert not list(tmp_path.glob(".scones-import*"))


def test_two_images_of_one_name_leave_nothing(tmp_path, photos):
    (photos / "0-0.jpg").write_bytes(JPEG)
    stderr = import_fails(tmp_path, listed(photos, [*rows_of(photos), (99, 0, "0-0.jpg")]))
    assert "photos.lst: the images " in stderr
    assert "would both become 0-0.png: rename one of them" in stderr
    assert not (tmp_path / "output").exists()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("photos.tar.gz", b"text\n", "photos.tar.gz: not a gzip archive"),
        ("notes.txt", b"anything at all", "image lists end in .lst"),
        ("random.bin", b"random bytes", "random.bin: neither a gzip archive nor a file of one of CIFAR's: 12 bytes"),
        ("data_batch_1.bin", bytes(3073), "name the folder that holds all of CIFAR's files"),
    ],
)
def test_a_file_that_is_no_archive_is_told_from_a_damaged_one(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    stderr = import_fails(tmp_path, tmp_path / name)
    assert said in stderr
    assert "fetch it again" not in stderr


def test_a_database_that_was_cut_short_says_what_to_do(own_server):
    own_server.stop()
    database = own_server.directory / "scones.db"
    database.write_bytes(database.read_bytes()[:5000])
    stderr = fails("up", "--listen", "127.0.0.1:0", "--data-dir", own_server.directory)
    assert f"hint: if {database} is damaged, restore the directory from a copy" in stderr


@pytest.mark.parametrize("leave", [lambda database: database.write_bytes(b""), Path.unlink], ids=["empty", "missing"])
def test_data_without_its_database_is_not_forgotten_silently(own_server, leave):
    own_server.stop()
    database = own_server.directory / "scones.db"
    leave(database)
    stderr = fails("up", "--listen", "127.0.0.1:0", "--data-dir", own_server.directory)
    assert f"{database} is missing or empty, but data of an earlier server lies beside it" in stderr
    assert "or delete the directory to start anew" in stderr
    assert not database.exists() or database.stat().st_size == 0
    assert findings(own_server.directory)[1]["database"]["verdict"] == "problem"


def test_a_demo_that_cannot_listen_leaves_nothing(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        fails("demo", "--dataset", "synthetic", "--listen", address, "--data-dir", tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_directory_with_blanks_is_quoted(tmp_path):
    stderr = fails("env", "--data-dir", tmp_path / "it's my data")
    line = stderr[stderr.index("`") + 1 : stderr.rindex("`")]
    assert shlex.split(line)[1:] == ["up", "--data-dir", str(tmp_path / "it's my data")]


def test_an_empty_folder_is_named(tmp_path):
    (tmp_path / "empty").mkdir()
    assert "empty" in import_fails(tmp_path, tmp_path / "empty")


def test_an_output_that_is_not_empty_is_left_alone(tmp_path, photos):
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "mine").write_text("keep")
    stderr = fails(
        "data", "import", listed(photos, rows_of(photos)), "--output", tmp_path / "output", "--data-dir", tmp_path
    )
    assert "not an empty folder" in stderr
    assert [path.name for path in (tmp_path / "output").iterdir()] == ["mine"]


# train, predict


@pytest.fixture
def classes(tmp_path, photos):
    """The photos in a folder for each class."""
    for label in "01":
        (tmp_path / "classes" / label).mkdir(parents=True)
        for path in photos.glob(f"{label}-*.png"):
            path.rename(tmp_path / "classes" / label / path.name)
    return tmp_path / "classes"


def train(classes, *more):
    """Runs `scones train` for one epoch of a small network; the model goes to `model.tar.gz` beside the classes."""
    output = classes.parent / "model.tar.gz"
    arguments = ["train", classes, "--output", output, "-H", "epochs=1", "--data-dir", classes.parent / "cache", *more]
    return run_program(*arguments, check=False), output


def test_a_closed_pipe_does_not_cost_the_model(tmp_path, classes):
    output = tmp_path / "model.tar.gz"
    arguments = ["train", classes, "--output", output, "-H", "epochs=2", "-H", "num_layers=20"]
    read, write = os.pipe()
    os.close(read)
    ended = subprocess.run([PROGRAM, *arguments], stdout=write, stderr=write, env=clean_environment(), timeout=120)
    os.close(write)
    assert (ended.returncode, output.is_file()) == (0, True)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="of Linux")
def test_a_result_that_cannot_be_written_is_a_failure(tmp_path):
    (tmp_path / "a.json").write_text('{"StartAt": "A", "States": {"A": {"Type": "Succeed"}}}')
    with open("/dev/full", "w") as full:
        arguments = [PROGRAM, "asl", "check", tmp_path / "a.json"]
        ended = subprocess.run(arguments, stdout=full, stderr=subprocess.PIPE, text=True, env=clean_environment())
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: cannot write to stdout: ")


def test_a_depth_alone_trains_from_scratch_and_images_are_fitted(classes):
    ended, output = train(classes, "-H", "num_layers=20", "-H", "image_shape=3,16,16")
    assert ended.returncode == 0, ended.stderr
    assert "num_layers=20: training begins from scratch" in ended.stderr
    assert "20 of 20 images have another size than 16x16 pixels and are fitted to it" in ended.stderr
    assert "to which the temperature was fitted too" in ended.stdout
    with tarfile.open(output) as archive:
        model = json.load(archive.extractfile("model.json"))
    assert model["architecture"]["stem_channels"] == 16


def test_num_classes_is_that_of_the_images(classes):
    for source in (classes, listed(classes, [(0, path.name[0], f"{path.parent.name}/{path.name}") for path in classes.glob("*/*.png")])):
        ended, output = train(source, "-H", "num_classes=3")
        assert (ended.returncode, output.exists()) == (1, False)
        assert "num_classes is 3, but " in ended.stderr
        assert "has 2 classes (0, 1): leave num_classes out" in ended.stderr


def test_unusable_images_are_named_together(classes):
    for name in ("a.png", "b.jpg"):
        (classes / "0" / name).write_text("<html>")
    (classes / "1" / "cut.jpg").write_bytes(JPEG[: len(JPEG) // 2])
    ended, _ = train(classes)
    assert ended.returncode == 1
    assert "3 images cannot be used:" in ended.stderr
    for name in ("0/a.png", "0/b.jpg", "1/cut.jpg"):
        assert f"{name}; replace or remove the file" in ended.stderr


def test_an_unusable_image_does_not_cost_the_other_answers(tmp_path, classes):
    _, model = train(classes, "-H", "num_layers=20")
    good, bad = sorted((classes / "0").iterdir())[0], tmp_path / "bad.png"
    bad.write_text("<html>")
    ended = run_program("predict", "--model", model, good, bad, good, "--json", check=False)
    answers = json.loads(ended.stdout)
    assert ended.returncode == 1
    assert [answer["image"] for answer in answers] == [str(good), str(bad), str(good)]
    assert "not a PNG or JPEG image" in answers[1]["error"]
    assert answers[0] == answers[2]
    assert set(answers[0]) == {"image", "class", "probabilities"}
    assert f"error: cannot classify {bad}" in ended.stderr
