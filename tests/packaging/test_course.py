"""The learner's copy of the course: what `labkit lab` lays, renews, and leaves alone."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from labkit import cli, course, jupyter
from labkit.cloud.front import launcher

ROOT = Path(__file__).resolve().parents[2]
RELEASE = {
    "notebooks/00_welcome.ipynb": "welcome",
    "notebooks/01_source.ipynb": "source",
    "exercises/solutions/01.ipynb": "solution",
    "sample_app/scripts/start.sh": "start",
    "sample_app/.gitignore": "dist",
}


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What came with labkit; a test changes it as an upgrade would."""
    place = tmp_path / "installed"
    for name, text in RELEASE.items():
        write(place / name, text)
    (place / "sample_app/scripts/start.sh").chmod(0o555)
    monkeypatch.setattr(course, "source", place)
    monkeypatch.setattr(course, "in_clone", False)
    monkeypatch.delenv("LABKIT_COURSE", raising=False)
    monkeypatch.chdir(tmp_path)
    return place


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    return tmp_path / "my own läb" / "course"


def write(path: Path, text: str) -> None:
    """A file with this text; a lesson has it in its first cell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cell = {"cell_type": "markdown", "id": "cell-01", "metadata": {}, "source": [text]}
    notebook = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(notebook) if path.suffix == ".ipynb" else text)


def read(path: Path) -> str:
    """What `write` wrote, or was laid of it."""
    text = path.read_text()
    return json.loads(text)["cells"][0]["source"][0] if path.suffix == ".ipynb" else text


def lying_in(folder: Path) -> dict[str, str]:
    """What a learner sees there, but for the reference, which is as it came."""
    return {
        path.relative_to(folder).as_posix(): read(path)
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".labkit-course")
        if not path.is_relative_to(folder / course.REFERENCE)
    }


def test_the_whole_course_is_laid(release: Path, mine: Path) -> None:
    laid = course.lay(mine)
    assert laid.first
    assert lying_in(mine) == RELEASE
    assert "put there now" in str(laid)


def test_a_learner_may_write_and_run_what_was_laid(release: Path, mine: Path) -> None:
    course.lay(mine)
    mode = (mine / "sample_app/scripts/start.sh").stat().st_mode
    assert mode & stat.S_IWUSR and mode & stat.S_IXUSR
    assert not (mine / "notebooks/00_welcome.ipynb").stat().st_mode & stat.S_IXUSR


def test_what_use_leaves_in_a_clone_is_not_laid(release: Path, mine: Path) -> None:
    for made in ("node_modules/mustache/x.js", "dist/page.html", ".ipynb_checkpoints/x.ipynb"):
        write(release / "sample_app" / made, "")
    course.lay(mine)
    assert lying_in(mine) == RELEASE


def test_the_lessons_are_laid_for_the_learner_and_the_reference_beside_them(
    release: Path, mine: Path
) -> None:
    lesson = "03_build.ipynb"
    (release / "notebooks" / lesson).write_bytes((ROOT / "notebooks" / lesson).read_bytes())
    course.lay(mine)
    laid = json.loads((mine / "notebooks" / lesson).read_text())["cells"]
    code = [cell for cell in laid if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] for cell in code)
    assert 'todo("03.2")' in "".join(line for cell in code for line in cell["source"])
    assert (mine / "reference" / lesson).read_bytes() == (ROOT / "notebooks" / lesson).read_bytes()


def test_nothing_is_done_twice(release: Path, mine: Path) -> None:
    course.lay(mine)
    write(mine / "notebooks/00_welcome.ipynb", "my notes")
    write(mine / "notebooks/mine.ipynb", "my own")
    (mine / "notebooks/01_source.ipynb").unlink()
    before = lying_in(mine)
    assert str(course.lay(mine)) == str(mine)
    assert lying_in(mine) == before


def test_an_upgrade_renews_what_nobody_edited_and_says_so(release: Path, mine: Path) -> None:
    course.lay(mine)
    write(release / "notebooks/01_source.ipynb", "better")
    write(release / "notebooks/02_roles.ipynb", "roles")
    (release / "exercises/solutions/01.ipynb").unlink()
    laid = course.lay(mine)
    assert (laid.new, laid.renewed, laid.beside) == (
        ["reference/02_roles.ipynb", "notebooks/02_roles.ipynb"],
        ["reference/01_source.ipynb", "notebooks/01_source.ipynb"],
        [],
    )
    assert laid.removed == ["exercises/solutions/01.ipynb"]
    assert lying_in(mine) == lying_in(release)
    assert "renewed: notebooks/01_source.ipynb" in str(laid)


def test_an_upgrade_leaves_what_the_learner_edited(release: Path, mine: Path) -> None:
    course.lay(mine)
    write(mine / "notebooks/01_source.ipynb", "mine")
    write(mine / "exercises/solutions/01.ipynb", "mine too")
    write(release / "notebooks/01_source.ipynb", "better")
    (release / "exercises/solutions/01.ipynb").unlink()
    laid = course.lay(mine)
    assert read(mine / "notebooks/01_source.ipynb") == "mine"
    assert laid.beside == ["new-in-0.1.0/notebooks/01_source.ipynb"]
    assert read(mine / laid.beside[0]) == "better"
    assert laid.kept == ["exercises/solutions/01.ipynb"]
    assert read(mine / "exercises/solutions/01.ipynb") == "mine too"
    assert "yours is edited and stays; the new one: new-in-0.1.0/" in str(laid)


def test_what_lies_beside_is_the_learner_s_too(release: Path, mine: Path) -> None:
    course.lay(mine)
    write(mine / "notebooks/01_source.ipynb", "mine")
    write(release / "notebooks/01_source.ipynb", "better")
    beside = mine / course.lay(mine).beside[0]
    write(beside, "worked in")
    write(release / "notebooks/01_source.ipynb", "better still")
    again = mine / course.lay(mine).beside[0]
    assert (read(beside), read(again)) == ("worked in", "better still")


def test_what_the_learner_deleted_stays_away(release: Path, mine: Path) -> None:
    course.lay(mine)
    (mine / "notebooks/01_source.ipynb").unlink()
    write(release / "notebooks/01_source.ipynb", "better")
    laid = course.lay(mine)
    assert not (mine / "notebooks/01_source.ipynb").exists()
    assert (laid.new, laid.renewed) == ([], ["reference/01_source.ipynb"])


def test_a_file_of_the_learner_s_is_in_the_way_of_a_new_one(release: Path, mine: Path) -> None:
    course.lay(mine)
    write(mine / "notebooks/02_roles.ipynb", "my own attempt")
    write(release / "notebooks/02_roles.ipynb", "roles")
    assert course.lay(mine).beside == ["new-in-0.1.0/notebooks/02_roles.ipynb"]
    assert read(mine / "notebooks/02_roles.ipynb") == "my own attempt"


def test_a_directory_is_in_the_way_of_a_new_one(release: Path, mine: Path) -> None:
    course.lay(mine)
    (mine / "notebooks/02_roles.ipynb").mkdir()
    write(release / "notebooks/02_roles.ipynb", "roles")
    assert course.lay(mine).beside == ["new-in-0.1.0/notebooks/02_roles.ipynb"]


@pytest.mark.parametrize("record", ["", "[]", '{"files": 3}', "\x00", '{"labkit": "0.1.0"}'])
def test_with_its_record_damaged_it_takes_nothing_for_its_own(
    release: Path, mine: Path, record: str
) -> None:
    course.lay(mine)
    write(mine / "notebooks/01_source.ipynb", "mine")
    (mine / ".labkit-course.json").write_text(record)
    write(release / "notebooks/00_welcome.ipynb", "better")
    laid = course.lay(mine)
    assert sorted(laid.beside) == [
        "new-in-0.1.0/notebooks/00_welcome.ipynb",
        "new-in-0.1.0/notebooks/01_source.ipynb",
        "new-in-0.1.0/reference/00_welcome.ipynb",
    ]
    assert read(mine / "notebooks/01_source.ipynb") == "mine"


def test_one_that_was_ended_half_way_is_made_whole(release: Path, mine: Path) -> None:
    course.lay(mine)
    (mine / "notebooks/01_source.ipynb").unlink()
    (mine / ".labkit-course.json").write_text(json.dumps({"labkit": "0.1.0", "files": {}}))
    course.lay(mine)
    assert lying_in(mine) == RELEASE


def test_two_at_once_lay_one_course(release: Path, mine: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        laid = list(pool.map(lambda _: course.lay(mine), range(8)))
    assert [one.first for one in laid].count(True) == 1
    assert lying_in(mine) == RELEASE


def a_file(place: Path) -> Path:
    write(place / "file", "text")
    return place / "file"


def below_a_file(place: Path) -> Path:
    return a_file(place) / "course"


def a_foreign_folder(place: Path) -> Path:
    write(place / "thesis" / "chapter.txt", "text")
    return place / "thesis"


def a_read_only_folder(place: Path) -> Path:
    (place / "locked").mkdir(mode=0o500)
    return place / "locked"


@pytest.mark.parametrize("made", [a_file, below_a_file, a_foreign_folder, a_read_only_folder])
def test_where_it_cannot_go_is_said_before_anything_starts(
    release: Path, tmp_path: Path, made: Callable[[Path], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    if made is a_read_only_folder and os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    around, state_dir = tmp_path / "place", tmp_path / "state"
    around.mkdir()
    place = made(around)
    before = lying_in(around)
    assert cli.main(["lab", "--course", str(place), "--state-dir", str(state_dir)]) == 1
    said = capsys.readouterr().err
    assert str(place) in said and "labkit lab --course DIR" in said
    assert not state_dir.exists()
    assert lying_in(around) == before


@pytest.mark.parametrize(
    ("asked", "first"),
    [([], "notebooks/00_welcome.ipynb"), (["--reference"], "reference/00_welcome.ipynb")],
)
def test_which_edition_is_opened(
    release: Path, mine: Path, asked: list[str], first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []
    nothing_runs = {"state_dir": str(mine)}

    def run(course: Path, first: str, environment: object, *, browser: bool) -> int:
        opened.append(course / first)
        return 0

    monkeypatch.setattr(jupyter, "run", run)
    monkeypatch.setattr(launcher, "up", lambda *arguments: (nothing_runs, True))
    monkeypatch.setattr(cli, "_describe", lambda description: None)
    monkeypatch.setattr(cli, "_environment", lambda description: {})
    assert cli.main(["lab", "--course", str(mine), *asked]) == 0
    assert opened == [mine / first] and opened[0].exists()


def test_where_the_course_goes(release: Path, tmp_path: Path) -> None:
    assert course.folder(None) == tmp_path / "labkit-course"
    assert course.folder(Path("other")) == tmp_path / "other"


def test_inside_a_course_it_is_that_one(
    release: Path, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    course.lay(mine)
    monkeypatch.chdir(mine)
    assert course.folder(None) == mine


def test_in_a_clone_one_works_in_a_folder_that_git_ignores(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(course, "in_clone", True)
    assert course.folder(None) == release / "labkit-course"
    assert course.folder(release) is None
    assert course.folder(Path("elsewhere")) == tmp_path / "elsewhere"


def test_lessons_use_the_sample_app_beside_them(
    release: Path, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert course.sample_app() == release / "sample_app"
    course.lay(mine)
    monkeypatch.setenv("LABKIT_COURSE", str(mine))
    assert course.sample_app() == mine / "sample_app"
