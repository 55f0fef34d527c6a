"""Set-up: what the three ways of installing the lab have to agree on, and the walls between rooms."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from tests.notebooks.execute import all_lessons
from tests.packaging import coverage_table, lessons_table

ROOT = Path(__file__).resolve().parents[2]


def declared() -> dict[str, Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    return {_normal(Requirement(line).name): Requirement(line) for line in lines}


def locked() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {_normal(name): version for name, version in pairs}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_conda_installs_exactly_what_pyproject_asks_for() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    pip = next(item["pip"] for item in environment["dependencies"] if isinstance(item, dict))
    assert pip == ["--editable .[test]"]
    python = next(item for item in environment["dependencies"] if str(item).startswith("python="))
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert Requirement(f"python{wanted}").specifier.contains(python.removeprefix("python=") + ".0")


@pytest.mark.parametrize("name", sorted(declared()))
def test_the_lock_has_every_dependency_within_its_range(name: str) -> None:
    assert name in locked(), "make lock"
    assert declared()[name].specifier.contains(locked()[name]), "make lock"


def test_no_file_names_a_registry_s_host() -> None:
    hosts = ("registry.npmjs" + ".org", "pypi.org" + "/simple", "files.pythonhosted" + ".org")
    listed = subprocess.run(
        ["git", "grep", "-lIF", *[part for host in hosts for part in ("-e", host)]],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert listed.stdout == ""


def test_learner_code_does_not_reach_behind_boto3() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_git_s_credential_helper_does_not_wait_for_boto3() -> None:
    code = "import sys, labkit.git_credential; print([m for m in sys.modules if 'boto' in m])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_the_coverage_page_is_what_the_code_does() -> None:
    assert coverage_table.PATH.read_text() == coverage_table.text(), "make docs"


def test_the_lessons_page_is_what_the_notebooks_are() -> None:
    assert lessons_table.PATH.read_text() == lessons_table.text(), "make docs"


@pytest.mark.parametrize("path", all_lessons()[1:], ids=lambda path: path.stem)
def test_a_lesson_is_short_enough_and_says_how_long_it_takes(path: Path) -> None:
    said = lessons_table.said(path)
    assert said is not None
    assert lessons_table.reckoned(path) <= said <= lessons_table.MOST_MINUTES


def test_the_readme_names_what_is_there() -> None:
    readme = (ROOT / "README.md").read_text()
    for name in re.findall(r"`((?:notebooks|exercises|labkit|sample_app)/[\w/.]*)`", readme):
        found = [ROOT / name, ROOT / f"{name}.ipynb"]
        assert any(path.exists() for path in found), f"{name} is in the README, not in the tree"
    for name in re.findall(r"\]\(((?!http)[^)#]+)\)", readme):
        assert (ROOT / name).exists(), f"{name} is linked in the README, not in the tree"
    for target in re.findall(r"`?make (\w+)", readme):
        assert f"\n{target}:" in (ROOT / "Makefile").read_text(), f"make {target}"
