"""One running lab, shared by all tests that allow it."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from hypothesis import HealthCheck, settings

from labkit.cloud.front import launcher
from labkit.cloud.guests.isolation import isolation
from tests.browser import chromium
from tests.tracebacks import Logs

gc.disable()  # until all is collected


@dataclass(frozen=True)
class Aws:
    """A running local AWS, as a test reaches it: by clients, or by the environment it hands out."""

    description: dict[str, Any]
    _clients: dict[str, Any] = field(default_factory=dict)

    @property
    def endpoint_url(self) -> str:
        return self.description["endpoint_url"]

    @property
    def state_dir(self) -> Path:
        return Path(self.description["state_dir"])

    @cached_property
    def image(self) -> str:
        """The id of an Amazon Linux 2023 image; all images are a long answer."""
        name = {"Name": "name", "Values": ["al2023*"]}
        found = self.client("ec2").describe_images(Owners=["amazon"], Filters=[name])
        return found["Images"][0]["ImageId"]

    @property
    def guests_dir(self) -> Path:
        """Where the directories of builds, hosts, functions and tasks are."""
        return Path(self.description["guests_dir"])

    @property
    def env(self) -> dict[str, str]:
        """The machine's environment with the lab's in it, as a shell after `eval "$(labkit env)"`."""
        mine = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return {**mine, **launcher.environment(self.description)}

    def set_environment(self, patch: pytest.MonkeyPatch) -> None:
        """Set this process's environment as `labkit env` sets it."""
        for name, value in launcher.environment(self.description).items():
            patch.setenv(name, value)
        for name in launcher.UNSET:
            patch.delenv(name, raising=False)

    def client(self, service: str, **credentials: str) -> Any:
        """A boto3 client with the learner's keys, or with those given."""
        if credentials:
            return self._make(service, **credentials)
        if service not in self._clients:
            self._clients[service] = self._make(
                service,
                aws_access_key_id=self.description["access_key_id"],
                aws_secret_access_key=self.description["secret_access_key"],
            )
        return self._clients[service]

    def presigned(self, bucket: str, key: str, **more: Any) -> str:
        """A URL that the learner has signed, to get an object."""
        signer = boto3.client(
            "s3",
            endpoint_url=self.endpoint_url,
            region_name=self.description["region"],
            aws_access_key_id=self.description["access_key_id"],
            aws_secret_access_key=self.description["secret_access_key"],
            config=Config(signature_version="s3v4"),
        )
        wanted = {"Bucket": bucket, "Key": key}
        return str(signer.generate_presigned_url("get_object", wanted, **more))

    def unchecked(self, service: str) -> Any:
        """A client that sends what botocore would refuse itself."""
        return self._make(
            service,
            parameter_validation=False,
            aws_access_key_id=self.description["access_key_id"],
            aws_secret_access_key=self.description["secret_access_key"],
        )

    def _make(self, service: str, *, parameter_validation: bool = True, **credentials: str) -> Any:
        config = Config(
            retries={"total_max_attempts": 1},
            parameter_validation=parameter_validation,
            inject_host_prefix=False,  # the lab has one address
        )
        return boto3.client(
            service,
            endpoint_url=self.endpoint_url,
            region_name=self.description["region"],
            config=config,
            **credentials,
        )


@contextmanager
def own_lab(state_dir: Path, **settings: str) -> Iterator[Aws]:
    """A lab of a test's own, which is started with these variables."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        description, _ = launcher.up(state_dir)
    yield Aws(description)
    launcher.down(state_dir)


_LONG_TABLE = 20  # cases


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--every",
        type=int,
        default=1,
        metavar="N",
        help=f"run each N-th case only of a table of more than {_LONG_TABLE} cases, and a tenth of "
        "Hypothesis's examples",
    )


def pytest_configure(config: pytest.Config) -> None:
    """A busy machine fails no property: how fast one is, is for the benchmarks."""
    fewer = 10 if config.getoption("--every") > 1 else 1
    settings.register_profile(
        "labkit",
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
        max_examples=settings.default.max_examples // fewer,
    )
    settings.load_profile("labkit")


def pytest_collection_finish() -> None:
    """What was imported and collected stays: it need not be looked through again and again."""
    gc.freeze()
    gc.enable()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which isolation the builds, hosts, functions and tasks of this run had, and which browser."""
    terminalreporter.write_line(f"isolation: {isolation().told}")
    terminalreporter.write_line(f"browser: {chromium.path() or chromium.MISSING}")


@pytest.hookimpl(trylast=True)  # of what `-m` and `-k` have left
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    step = config.getoption("--every")
    tables: dict[str, list[pytest.Item]] = {}
    for item in items:
        tables.setdefault(item.nodeid.partition("[")[0], []).append(item)
    kept = {
        item
        for cases in tables.values()
        for item in (cases[::step] if len(cases) > _LONG_TABLE else cases)
    }
    if left_out := [item for item in items if item not in kept]:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item in kept]
    items[:] = _longest_first(items, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))


def _longest_first(items: list[pytest.Item], workers: int) -> list[pytest.Item]:
    """What takes longest is no worker's last: each one's stretch of the list begins with some of it."""
    longest = sorted(filter(_most_seconds, items), key=_most_seconds, reverse=True)
    others = [item for item in items if not _most_seconds(item)]
    most = -(-len(others) // workers)
    return [
        item
        for worker in range(workers)
        for item in (*longest[worker::workers], *others[worker * most : (worker + 1) * most])
    ]


def _most_seconds(item: pytest.Item) -> float:
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0]) if marker else 0.0


@pytest.fixture(scope="session", autouse=True)
def lab_logs() -> Iterator[Logs]:
    """The logs of all labs that this test run starts."""
    logs = Logs()
    with logs.watched():
        yield logs
    assert not (found := logs.tracebacks()), "\n".join(found)  # of labs that have ended by now


@pytest.fixture(autouse=True)
def no_traceback(lab_logs: Logs) -> Iterator[None]:
    """Fail the test in whose time a lab's log got a traceback."""
    yield
    if found := lab_logs.tracebacks():
        pytest.fail("a traceback in the lab's log:\n" + "\n".join(found), pytrace=False)


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    """The lab of this test run, in a directory whose name has a space and is not ASCII."""
    state_dir = tmp_path_factory.mktemp("lab") / "state of the läb"
    description, _ = launcher.up(state_dir)
    yield Aws(description)
    launcher.down(state_dir)


@pytest.fixture
def lab_environment(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Aws:
    """The shared lab, with this process's environment set as `labkit env` sets it."""
    aws.set_environment(monkeypatch)
    return aws
