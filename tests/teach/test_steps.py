"""What a learner meets who has not written a step, guesses, does well, and starts over."""

from __future__ import annotations

import json
from html import unescape
from pathlib import Path

import pytest

from labkit import course
from labkit.teach import NotWritten, check, course_map, over, predict, progress, todo
from tests.notebooks.execute import ROOT

LESSON = "07_release.ipynb"


@pytest.fixture(autouse=True)
def course_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that the course is laid in."""
    folder = tmp_path / "course"
    course.lay(folder)
    monkeypatch.setenv("LABKIT_COURSE", str(folder))
    return folder


def test_a_step_that_is_not_written_says_in_a_sentence_what_to_write() -> None:
    with pytest.raises(NotWritten) as failed:
        todo("07.8")
    [shown] = failed.value._render_traceback_()
    assert shown.startswith("Not yet: Undo the last commit with a new one, and push that.")
    assert 'in place of the line todo("07.8")' in shown


def test_a_check_says_what_is_not_there_yet() -> None:
    said = check.step("07.8")
    assert not said.passed
    assert str(said) == (
        "✘ Step 07.8: lab is not there yet. Write the cell of this step, and run it"
    )


def test_there_are_only_the_steps_that_there_are() -> None:
    for step_id in ("07.99", "99.1", "", "07"):
        with pytest.raises(ValueError, match="there is no step"):
            check.step(step_id)


def test_a_guess_is_kept_however_it_is_spelt() -> None:
    assert predict("07.2", " build ") == "Noted: Build"
    assert progress.guess("07.2") == "Build"


@pytest.mark.parametrize("guess", [..., "Test", "", 3])
def test_a_guess_is_one_of_the_choices(guess: str) -> None:
    with pytest.raises(NotWritten, match='One of: "Source", "Build", "Deploy"'):
        predict("07.2", guess)
    assert progress.guess("07.2") is None


def test_nothing_is_compared_before_there_is_a_guess() -> None:
    assert "guess first" in str(check.step("07.2"))


def test_the_map_counts_what_is_done(course_folder: Path) -> None:
    assert "0 of 8" in row(LESSON)
    progress.done("07.1")
    progress.done("07.8")
    assert "2 of 8" in row(LESSON)
    assert json.loads((course_folder / ".labkit-progress.json").read_text())["done"] == {
        "07.1": True,
        "07.8": True,
    }


def row(lesson: str) -> str:
    html = course_map()._repr_html_()
    return html.partition(f'href="{lesson}"')[2].partition("</tr>")[0]


def test_the_map_says_where_a_newer_version_lies(course_folder: Path) -> None:
    assert "new version" not in repr(course_map())
    new = course_folder / "new-in-9.9" / "notebooks" / LESSON
    new.parent.mkdir(parents=True)
    new.touch()
    assert repr(course_map()).endswith(f"beside yours: new-in-9.9/notebooks/{LESSON}")


@pytest.mark.parametrize("damaged", ["", "[]", "{", '{"done": 3}', '{"guesses": null}'])
def test_a_damaged_record_of_progress_is_begun_anew(course_folder: Path, damaged: str) -> None:
    (course_folder / ".labkit-progress.json").write_text(damaged)
    progress.done("07.1")
    predict("07.2", "Build")
    assert (progress.done_of("07"), progress.guess("07.2")) == (["07.1"], "Build")


def test_who_starts_over_keeps_what_they_had(course_folder: Path) -> None:
    lesson = course_folder / "notebooks" / LESSON
    fresh = lesson.read_text()
    lesson.write_text("what I have written")
    progress.done("07.1")
    progress.done("06.1")
    predict("07.2", "Build")
    kept = over.begin_again(lesson)
    assert lesson.read_text() == fresh
    assert kept.read_text() == "what I have written"
    assert (progress.done_of("07"), progress.done_of("06")) == ([], ["06.1"])
    assert progress.guess("07.2") is None


def test_the_button_is_the_first_thing_in_a_lesson_of_the_learner_s(course_folder: Path) -> None:
    cells = json.loads((course_folder / "notebooks" / LESSON).read_text())["cells"]
    first = next(cell for cell in cells if cell["cell_type"] == "code")
    assert f'start_over("{LESSON}")' in "".join(first["source"])
    reference = (ROOT / "notebooks" / LESSON).read_text()
    assert "start_over" not in reference


@pytest.fixture
def lesson(course_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lesson that the learner has written in, in the directory of its kernel."""
    monkeypatch.chdir(course_folder / "notebooks")
    Path(LESSON).write_text("mine")
    return course_folder / "notebooks" / LESSON


def kept_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("07_release, until *.ipynb"))


def test_a_click_starts_over(lesson: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere than in the JupyterLab of `labkit lab`, which the progress is kept with then."""
    monkeypatch.setenv("LABKIT_STATE_DIR", str(lesson.parent))
    monkeypatch.delenv("LABKIT_COURSE")
    button, said = over.start_over(LESSON).children
    monkeypatch.chdir("/")
    for _ in range(3):
        button.click()
    assert "todo(" in lesson.read_text()
    kept = kept_in(lesson.parent)
    assert len(kept) == 3 and "mine" in [path.read_text() for path in kept]
    assert said.outputs[0]["text"].startswith("Started over; what you had is in “07_release, until")


def test_in_jupyterlab_the_page_saves_first_what_is_not_saved_yet(lesson: Path) -> None:
    script = unescape(over.start_over(LESSON)._repr_html_())
    assert lesson.read_text() == "mine"
    assert (
        script.index("context.save()") < script.index("requestExecute") < script.index("revert()")
    )
    exec(json.loads(script.partition("{code: ")[2].partition(", silent")[0]))
    assert "todo(" in lesson.read_text()
    assert [path.read_text() for path in kept_in(lesson.parent)] == ["mine"]
