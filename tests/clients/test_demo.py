"""`scones demo`: the whole story by one command, again on the same data, and interrupted."""

import json
import pathlib
import re
import shlex
import signal
import subprocess

import psutil
import pytest
from harness import PROGRAM, ROOT, Clients, Server, clean_environment, run_program, wait_for


def command(directory, images, *more):
    options = ["--dataset", images.directory, "--listen", "127.0.0.1:0", "--data-dir", directory]
    return ["demo", *options, *more]


@pytest.mark.timeout(600)
def test_the_story_is_told_twice_and_can_be_gone_on_with(tmp_path, images):
    directory = tmp_path / "data"
    stories = [json.loads(run_program(*command(directory, images, "--json")).stdout) for _ in range(2)]
    for story in stories:
        assert list(story) == ["images", "training", "endpoint", "functions", "workflow", "capture"]
        assert all(section["commands"] for section in story.values()), "each step has its AWS CLI line"
        assert sum(story["images"]["train_counts"]) == 60
        assert len(story["functions"]["arns"]) == 3
        executions = story["workflow"]["executions"]
        assert {execution["actual"] for execution in executions} == set(story["images"]["classes"])
        assert {execution["outcome"] for execution in executions} <= {"passed", "THRESHOLD_CONFIDENCE_NOT_MET"}
        assert story["capture"]["records"] == len(executions), "every inference is captured, and only its own"
    assert stories[0]["training"]["job"] != stories[1]["training"]["job"]

    server = Server(directory).start()
    try:
        aws = Clients(server)
        (machine,) = aws.states.list_state_machines()["stateMachines"]
        listed = [
            execution
            for page in aws.states.get_paginator("list_executions").paginate(stateMachineArn=machine["stateMachineArn"])
            for execution in page["executions"]
        ]
        assert len(listed) == sum(len(story["workflow"]["executions"]) for story in stories)
        jobs = aws.sagemaker.list_training_jobs(StatusEquals="Completed")["TrainingJobSummaries"]
        assert {job["TrainingJobName"] for job in jobs} == {story["training"]["job"] for story in stories}
        (endpoint,) = aws.sagemaker.list_endpoints()["Endpoints"]
        picture = images.picture
        answer = aws.runtime.invoke_endpoint(
            EndpointName=endpoint["EndpointName"], ContentType="image/png", Body=picture
        )
        assert sum(json.loads(answer["Body"].read())) == pytest.approx(1, abs=1e-5)
        check_the_example_client(server)
        for story in stories:
            check_the_printed_lines(server, story, tmp_path)
    finally:
        assert server.stop() == 0


def check_the_example_client(server):
    """examples/scones-unlimited/client.py works on what the demo has left."""
    for threshold, status in [("0.1", "SUCCEEDED"), ("1", "FAILED")]:
        client = subprocess.run(
            ["python3", ROOT / "examples/scones-unlimited/client.py", "--count", "3", "--threshold", threshold],
            check=True,
            capture_output=True,
            text=True,
            env=clean_environment(**server.environment),
        )
        lines = client.stdout.splitlines()
        assert len(lines) == 3
        assert {line.split("  ")[1] for line in lines} == {status}
        assert status == "SUCCEEDED" or all("THRESHOLD_CONFIDENCE_NOT_MET" in line for line in lines)


def check_the_printed_lines(server, story, folder):
    """Every line beside a step runs as it stands, in the order of the steps."""
    environment = clean_environment(**server.environment, HOME=str(folder))
    (folder / "examples").exists() or (folder / "examples").symlink_to(ROOT / "examples")
    for line in [line for section in story.values() for line in section["commands"]]:
        if " sagemaker wait " in line:
            # The AWS CLI looks only every two minutes, unless the job has come to its end before.
            job = line.split()[-1]
            wait_for(
                lambda job=job: server.client("sagemaker").describe_training_job(TrainingJobName=job)[
                    "TrainingJobStatus"
                ]
                != "InProgress",
                120,
                job,
            )
        result = subprocess.run(
            ["sh", "-c", line], capture_output=True, text=True, cwd=folder, env=environment, timeout=120
        )
        assert result.returncode == 0, f"{line}\n{result.stdout}{result.stderr}"
    made = server.client("sagemaker").list_training_jobs(NameContains="my-")["TrainingJobSummaries"]
    assert {job["TrainingJobStatus"] for job in made} == {"Completed"}


def test_it_is_told_in_words(tmp_path, images):
    told = run_program(*command(tmp_path / "data", images))
    said = told.stdout
    assert re.search(r"Training: epoch \d+ of \d+, .* about \d+ s left", told.stderr), told.stderr
    for word in ("bicycle", "motorcycle", "Training", "Endpoint", "Functions", "serialize", "scones up"):
        assert word in said, word
    assert f"data import {shlex.quote(str(images.directory))} --data-dir" in said, "the source that was used"
    assert said.count("aws lambda create-function") == 3
    assert "aws sagemaker create-training-job" in said
    assert "validation channel is the test part" in said
    assert re.search(r"All of it took \d+ s\.", said)
    (up,) = [line.strip() for line in said.splitlines() if " up --data-dir" in line]
    assert pathlib.Path(shlex.split(up)[0]).samefile(PROGRAM), "a path that can be typed"
    assert "\x1b[" not in said, "no colours where nobody sees them"


@pytest.mark.parametrize("moment", ["Training", "Deploying the model"])
def test_ctrl_c_leaves_no_process(tmp_path, images, moment):
    talk = tmp_path / "talk"
    with open(talk, "w") as stderr:
        demo = subprocess.Popen(
            [PROGRAM, *command(tmp_path / "data", images)],
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            env=clean_environment(),
        )
    wait_for(lambda: moment in talk.read_text() or demo.poll() is not None, 120, moment)
    children = psutil.Process(demo.pid).children(recursive=True)
    demo.send_signal(signal.SIGINT)
    assert demo.wait(30) == 130
    assert psutil.wait_procs(children, timeout=5)[1] == []
    # What was begun does not stand in the way of the next telling.
    assert json.loads(run_program(*command(tmp_path / "data", images, "--json")).stdout)["workflow"]["executions"]
