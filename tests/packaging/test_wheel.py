"""The wheel, built from this tree, installed in an empty directory and used there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import pytest

from labkit import course
from tests.waiting import eventually

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the sdist of this tree, and the wheel that is made from it."""
    made, scratch = tmp_path_factory.mktemp("built"), tmp_path_factory.mktemp("scratch")
    tree = scratch / "tree"
    ignored = shutil.ignore_patterns(".venv", ".git", "__pycache__", ".*_cache", ".hypothesis")
    shutil.copytree(ROOT, tree, ignore=ignored, symlinks=True)
    build(tree, "build_sdist", made)
    with tarfile.open(next(made.glob("*.tar.gz"))) as archive:
        archive.extractall(scratch)
    build(next(scratch.glob("labkit-*")), "build_wheel", made)
    return made


def build(tree: Path, hook: str, into: Path) -> None:
    """As a front end calls the build backend (PEP 517), without a network."""
    call = f"import setuptools.build_meta as b, sys; b.{hook}(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", call, str(into)], cwd=tree, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def packed(built: Path) -> list[str]:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        return wheel.namelist()


def test_the_wheel_carries_the_package_with_its_data(packed: list[str]) -> None:
    package = ROOT / "labkit"
    there = {
        path.relative_to(ROOT).as_posix()
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    carried = {name for name in packed if not name.startswith("labkit/course/")}
    assert {name for name in carried if name.startswith("labkit/")} == there


def test_the_wheel_carries_the_course(packed: list[str]) -> None:
    prefix = "labkit/course/"
    carried = {name.removeprefix(prefix) for name in packed if name.startswith(prefix)}
    assert carried == set(course.files())
    assert f"{course.LESSONS}/{course.WELCOME}" in carried


def test_the_wheel_carries_its_licence_and_nothing_else(packed: list[str]) -> None:
    others = {Path(name).name for name in packed if not name.startswith("labkit/")}
    assert {"LICENSE", "NOTICE"} < others
    assert others == {
        "LICENSE", "NOTICE", "METADATA", "WHEEL", "RECORD", "entry_points.txt", "top_level.txt",
    }  # fmt: skip


def test_the_source_archive_is_as_good_as_a_clone(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    tracked = {name for name in listed.stdout.splitlines() if (ROOT / name).exists()}
    assert {name for name in tracked - names if not name.startswith((".ci/", ".github/"))} == set()


@dataclass(frozen=True)
class Installed:
    """An empty directory of a learner's, with labkit installed beside it."""

    directory: Path
    program: Path
    env: dict[str, str]

    def labkit(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.program, *arguments],
            cwd=self.directory,
            env=self.env,
            capture_output=True,
            text=True,
        )


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    """The wheel in a virtual environment of its own; what it depends on is this one's."""
    place = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place / "venv"], check=True)
    packages = next((place / "venv").glob("lib/python3*/site-packages"))
    pip = [sys.executable, "-m", "pip", "--python", place / "venv", "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", next(built.glob("*.whl"))], check=True)
    (packages / "dependencies.pth").write_text(str(Path(pytest.__file__).parents[1]))
    for shared in ("share", "etc"):  # JupyterLab's pages and settings
        (place / "venv" / shared).symlink_to(Path(sys.prefix, shared))
    directory = place / "an empty földer"
    directory.mkdir()
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "LABKIT_"))}  # fmt: skip
    (place / "another user's").mkdir(mode=0)
    path = os.pathsep.join([str(place / "another user's"), mine["PATH"]])
    env = mine | {"LABKIT_STATE_DIR": str(place / "state"), "PATH": path}
    learner = Installed(directory, place / "venv" / "bin" / "labkit", env)
    yield learner
    learner.labkit("down")


def test_the_demo_runs_in_an_empty_directory(installed: Installed) -> None:
    done = installed.labkit("demo")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert "Nothing is left." in done.stdout
    assert "Now in a browser: labkit lab" in done.stdout
    assert {path.name for path in installed.directory.iterdir()} == {"charts"}


@dataclass(frozen=True)
class Opened:
    """What `labkit lab --no-browser` printed, the lesson's address in it."""

    said: str
    address: SplitResult

    def get(self, target: str, **headers: str) -> HTTPResponse:
        client = HTTPConnection(self.address.netloc, timeout=60)
        client.request("GET", target, headers={n.replace("_", "-"): v for n, v in headers.items()})
        return client.getresponse()

    def get_lesson(self) -> HTTPResponse:
        return self.get(f"{self.address.path}?{self.address.query}")


@pytest.fixture(scope="module")
def opened(installed: Installed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """A lab on another machine: in a codespace."""
    said = tmp_path_factory.mktemp("said") / "said"
    codespace = {
        "CODESPACE_NAME": "fuzzy-space",
        "GITHUB_CODESPACES_PORT_FORWARDING_DOMAIN": "app.github.dev",
    }
    with said.open("w") as output:
        lab = subprocess.Popen(
            [installed.program, "lab", "--no-browser"],
            cwd=installed.directory,
            env=installed.env | codespace,
            stdout=output,
            stderr=output,
        )

    def address() -> str | None:
        assert lab.poll() is None, said.read_text()
        found = re.search(r"^The first lesson: (\S+)\n\n", said.read_text(), re.MULTILINE)
        return found and found[1]

    found = urlsplit(eventually(address, 90))
    yield Opened(said.read_text(), found)
    installed.labkit("down")
    lab.wait(60)


def test_the_address_opens_the_first_lesson(opened: Opened, installed: Installed) -> None:
    page = opened.get_lesson()
    assert page.status == 200
    assert '"treePath": "notebooks/00_welcome.ipynb"' in page.read().decode()
    assert (installed.directory / "labkit-course" / f"{course.LESSONS}/{course.WELCOME}").exists()


def test_without_its_token_nothing_opens(opened: Opened) -> None:
    assert opened.get(opened.address.path).status == 302
    assert opened.get("/api/contents").status == 403


def test_it_is_said_how_another_machine_reaches_it(opened: Opened) -> None:
    port = opened.address.port
    assert f"ssh -N -L {port}:localhost:{port} USER@THIS-MACHINE" in opened.said


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://fuzzy-space-{port}.app.github.dev", 101),
        ("https://other-fuzzy-space-{port}.app.github.dev", 403),
        ("https://fuzzy-space-{port}.app.github.dev.example.com", 403),
    ],
)
def test_kernels_are_reached_from_the_codespace_s_own_page_alone(
    opened: Opened, origin: str, status: int
) -> None:
    cookies = [
        set_cookie.partition(";")[0]
        for set_cookie in opened.get_lesson().headers.get_all("Set-Cookie")
    ]
    asked = opened.get(
        "/api/events/subscribe",
        Cookie="; ".join(cookies),
        Origin=origin.format(port=opened.address.port),
        Upgrade="websocket",
        Connection="Upgrade",
        Sec_WebSocket_Version="13",
        Sec_WebSocket_Key="x3JJHMbDL1EzLkh9GBhXDw==",
    )
    assert asked.status == status
