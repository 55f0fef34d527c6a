"""Views of an execution that really runs: in a terminal, in a widget, with its approval."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
from rich.console import Console

from labkit import observe, provision, show
from labkit.lab import Lab
from labkit.missing import NotThere
from labkit.provision import pipeline, source

pytestmark = pytest.mark.slow  # whole releases


@pytest.fixture(scope="module")
def lab(aws: Any) -> Iterator[Lab]:
    with pytest.MonkeyPatch.context() as patch:
        aws.set_environment(patch)
        lab = Lab("shown")
        provision.provision(lab, until="deploy")
        pipeline.create_pipeline(lab, approval=True)
        pipeline.create_trigger(lab)
        yield lab
        provision.tear_down(lab)


def test_one_release_seen_in_every_way(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    output = io.StringIO()
    now = show.terminal.follow(lab, console=Console(file=output, width=200), timeout=60)
    assert now.awaits_approval, output.getvalue()
    lines = output.getvalue().splitlines()
    build = lines.index("▶ Build / Build (CodeBuild): In progress")
    assert any("| npm" not in line and "Running command npm test" in line for line in lines[build:])
    assert lines[-1] == "? Approve / Approve (Manual): Waits for approval"

    live = show.live(lab, now.execution_id)
    buttons = live._buttons
    assert buttons.layout.display == "flex"
    buttons.children[0].click()  # Approve
    live.wait(60)
    assert not live._thread.is_alive()
    assert "Succeeded" in live._html.value and buttons.layout.display == "none"
    assert "Phase complete: UPLOAD_ARTIFACTS" in live._tail.value
    bundle = live._repr_mimebundle_()
    stored = bundle["text/html"].removeprefix(live._html.value)  # it may be seen much later
    assert "As it was when this cell ran" in stored
    assert "application/vnd.jupyter.widget-view+json" in bundle

    view = show.pipeline(lab)
    assert "Stage Deploy: Succeeded" in view._repr_html_()
    assert view._repr_html_() == view._repr_html_()
    assert {site.version for site in show.sites(lab)} == {"1.0.0"}
    show.log(lab)
    whole = capsys.readouterr().out
    assert "Entering phase BUILD" in whole
    show.log(lab, last=2)
    assert capsys.readouterr().out.splitlines() == whole.splitlines()[-2:]


def test_a_live_view_can_be_left_and_rejects(lab: Lab) -> None:
    if observe.wait_for_execution(lab, timeout=60).awaits_approval:
        pipeline.approve(lab)  # the first one, if the test above has not
    execution = pipeline.release(lab, "No", source.replace("site.json", "teal", "green"))
    assert observe.wait_for_execution(lab, execution, timeout=60).awaits_approval
    live = show.live(lab, execution)
    live.stop()
    assert not live._thread.is_alive()
    live = show.live(lab, execution)
    live._buttons.children[1].click()  # Reject
    live._buttons.children[1].click()
    live.wait(60)
    assert "Rejected in the lab" in live._html.value
    assert "Nothing waits for an answer" in live._said.value


def test_nothing_to_show_is_said(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(NotThere, match=r"'nothing' has no pipeline.*Lesson 6 shows how"):
        show.pipeline(Lab("nothing"))
    show.log(lab, "shown-build:00000000-0000-0000-0000-000000000000")
    assert "has no log" in capsys.readouterr().out
