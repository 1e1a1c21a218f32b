"""Fixtures: a shared server, servers that a test may kill, clients, images, a trained model."""

import os
import subprocess

import pytest

import story_data
from harness import BIN, Clients, Server, clean_environment


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.skipped and "CI" in os.environ:
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and CI may leave nothing out: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("server") / "data").start()
    yield server
    if server.process.poll() is None:
        server.stop()


@pytest.fixture
def own_server(tmp_path):
    """A server that a test may kill."""
    server = Server(tmp_path / "data").start()
    yield server
    if server.process.poll() is None:
        server.stop()


@pytest.fixture
def own(own_server):
    """Its clients; it comes back on the same port."""
    return Clients(own_server)


@pytest.fixture
def endpoint(server):
    return server.endpoint


@pytest.fixture
def s3(server):
    return server.client("s3")


@pytest.fixture(scope="session")
def aws(server):
    """Clients of the shared server."""
    return Clients(server)


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    """A few drawn bicycles and motorcycles."""
    directory = tmp_path_factory.mktemp("images")
    return story_data.Images(story_data.draw(directory / "drawings"), directory / "few")


@pytest.fixture(scope="session")
def trained(aws, images):
    """A training job that has come to its end, and its model."""
    return story_data.Trained(aws, images)


@pytest.fixture
def run_aws(server, tmp_path):
    """Runs the AWS CLI with `scones env`'s variables."""

    def run(arguments, check=True, **options):
        environment = clean_environment(**server.environment, HOME=str(tmp_path))
        result = subprocess.run(
            [BIN / "aws", *arguments], capture_output=True, text=True, env=environment, timeout=120, **options
        )
        assert not check or result.returncode == 0, f"aws {' '.join(map(str, arguments))}: {result.stderr}"
        return result

    return run
