"""Charts can be read without colour, by ear, and come out the same every time."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from labkit import colours
from labkit.observe import (
    Chart,
    chart_build_phases,
    chart_costs,
    chart_deployments,
    chart_race,
    chart_timeline,
    chart_times,
    chart_traffic,
    estimate,
)
from labkit.observe.builds import PHASES

START = datetime(2026, 1, 5, 12, tzinfo=UTC)


def phases() -> Chart:
    rows = [
        {
            "build": 1,
            "phase": phase,
            "status": "FAILED" if phase == "BUILD" else "SUCCEEDED",
            "seconds": 6.0 if phase == "BUILD" else 0.5,
            "start": START,
            "message": "",
        }
        for phase in PHASES
    ]
    return chart_build_phases(pd.DataFrame(rows))


def deployments() -> Chart:
    columns = ["deployment", "status", "commit", "seconds", "succeeded", "failed", "skipped",
               "rolls_back"]  # fmt: skip
    rows = [
        ("d-AAAAAAAAA", "Succeeded", "1234abcd", 5.0, 2, 0, 0, ""),
        ("d-BBBBBBBBB", "Failed", "2234abcd", 3.0, 0, 1, 1, ""),
        ("d-CCCCCCCCC", "Succeeded", "1234abcd", 4.5, 2, 0, 0, "d-BBBBBBBBB"),
        ("d-DDDDDDDDD", "InProgress", "", None, 0, 0, 0, ""),
    ]
    return chart_deployments(pd.DataFrame(rows, columns=columns))


def timeline() -> Chart:
    rows = [
        ("e", "Source", "Source", "Succeeded", START, 0.6),
        ("e", "Build", "Build", "Failed", START + timedelta(seconds=1), 9.0),
    ]
    columns = ["execution", "stage", "action", "status", "started", "seconds"]
    return chart_timeline(pd.DataFrame(rows, columns=columns))


def race() -> Chart:
    rows = [
        ("a", "Build", "Build", "Succeeded", START, 1.0),
        ("c", "Build", "Build", "Succeeded", START + timedelta(seconds=1), 2.0),
    ]
    columns = ["execution", "stage", "action", "status", "started", "seconds"]
    return chart_race(pd.DataFrame(rows, columns=columns), ["a", "b", "c"])


def traffic() -> Chart:
    at = [START + timedelta(seconds=number / 10) for number in range(30)]
    versions = ["1"] * 10 + ["2", "error"] * 5 + ["1"] * 10
    rows = [
        (moment, 500 if version == "error" else 200, version, 0.01, number)
        for number, (moment, version) in enumerate(zip(at, versions, strict=True))
    ]
    requests = pd.DataFrame(rows, columns=["at", "status", "version", "seconds", "user"])
    return chart_traffic(requests, {"the alarm": at[20]})


def costs() -> Chart:
    return chart_costs(estimate({"codepipeline.action_minute": 130, "ec2.t3.micro": 3}))


def times() -> Chart:
    return chart_times({"no cache": 3.0, "with a cache": 0.5})


@pytest.mark.parametrize("draw", [phases, deployments, timeline, race, traffic, costs, times])
def test_the_same_frame_gives_the_same_text(draw) -> None:  # type: ignore[no-untyped-def]
    assert draw().html == draw().html


@pytest.mark.parametrize("draw", [phases, deployments, timeline, race, traffic, costs, times])
def test_it_needs_no_style_sheet_no_script_and_no_theme(draw) -> None:  # type: ignore[no-untyped-def]
    html = draw()._repr_html_()
    for never in ("<style", "<script", "<svg", "currentColor", "var(", " id="):
        assert never not in html


@pytest.mark.parametrize("draw", [phases, deployments, timeline, race, traffic, costs, times])
def test_it_says_its_unit(draw) -> None:  # type: ignore[no-untyped-def]
    unit = re.search(r"<small>\((.*?)\)</small>", draw().html)
    assert unit and ("seconds" in unit[1] or "US dollars" in unit[1])


def test_the_text_says_what_the_picture_shows() -> None:
    assert "build 1 10.5 s, longest phase BUILD with 6.0 s, BUILD failed" in phases().alt
    said = deployments().alt
    assert "d-BBBBBBBBB Failed: 0 succeeded, 1 failed, 1 skipped (3.0 s)" in said
    assert "d-CCCCCCCCC Succeeded: 2 succeeded, 0 failed, a rollback (4.5 s)" in said
    assert "Build/Build Failed after 9.0 s" in timeline().alt
    assert "execution 3 in Build from 1.0 s to 3.0 s; execution 2 entered no stage" in race().alt
    said = traffic().alt
    assert "30 requests, 16.7 % failed, 5 of 200 users saw an error; the alarm at 2.0 s" in said
    assert times().alt.endswith("no cache 3.0 s; with a cache 0.5 s, 6.0 times as fast.")


def test_what_failed_has_one_colour_in_all_charts_and_nothing_else_has_it() -> None:
    for chart in (deployments(), timeline(), traffic()):
        assert colours.BAD in chart.html
    for chart in (phases(), race(), costs(), times()):
        assert colours.BAD not in chart.html and colours.GOOD not in chart.html


def looks(*versions: str) -> dict[str, str]:
    """How each version is drawn, as the legend of requests to them has it."""
    rows = [
        (START + timedelta(seconds=number / 10), 200, version, 0.01, number)
        for number, version in enumerate(versions)
    ]
    frame = pd.DataFrame(rows, columns=["at", "status", "version", "seconds", "user"])
    legend = r'middle;([^"]*)"></span>(?:version )?(\w+)'
    return {name: look for look, name in re.findall(legend, chart_traffic(frame).html)}


def test_a_bad_version_looks_alike_whichever_versions_there_are() -> None:
    look = looks("bad", "1", "2", "3")["bad"]
    assert colours.BAD_VERSION in look
    assert looks("bad", "9", "9", "9")["bad"] == look


def test_versions_are_told_apart_without_colour() -> None:
    drawn = looks("1", "2", "3", "4", "5", "bad", "error")
    grey = {re.sub("#[0-9a-f]{6}", "", look) for look in drawn.values()}
    assert len(drawn) == len(grey) == 7


@pytest.mark.parametrize(
    ("a_second", "lines"),
    [
        (4, [1, 2, 3, 4]),
        (12, [5, 10, 15]),
        (40, [10, 20, 30, 40]),
        (404, [100, 200, 300, 400, 500]),
    ],
)
def test_the_axis_of_requests_has_round_numbers_and_a_unit(a_second: int, lines: list[int]) -> None:
    rows = [(START, 200, "1", 0.01, number) for number in range(a_second // 4)]
    html = chart_traffic(
        pd.DataFrame(rows, columns=["at", "status", "version", "seconds", "user"])
    ).html
    assert "requests a second" in html
    labels = re.findall(r"right:100%[^>]*>(\d+)<", html)
    assert [int(label) for label in labels] == [0, *lines]


def test_in_a_notebook_it_has_an_alternative_text_and_a_line_below() -> None:
    html = deployments()._repr_html_()
    assert f'role="img" aria-label="{deployments().alt}"' in html
    assert f">{deployments().alt}</figcaption>" in html
    assert repr(deployments()) == deployments().alt


def test_nothing_to_draw_is_said_in_words() -> None:
    columns = ["build", "phase", "status", "seconds", "start", "message"]
    chart = chart_build_phases(pd.DataFrame(columns=columns))
    assert chart.alt == "Where the time of each build went: no build has run yet"
    assert chart_deployments(pd.DataFrame()).alt.endswith("nothing has been deployed yet")
    assert chart_timeline(pd.DataFrame()).alt.endswith("no action has run yet")
    assert chart_traffic(pd.DataFrame()).alt.endswith("nothing has been asked yet")
    assert chart_race(pd.DataFrame(), []).alt.endswith("no action has run yet")
    assert chart_costs(pd.DataFrame()).alt.endswith("nothing has been used yet")
    assert chart_times({}).alt.endswith("nothing has been measured yet")


def test_it_is_saved_where_it_is_told(tmp_path: Path) -> None:
    path = timeline().save(tmp_path / "charts" / "timeline.html")
    page = path.read_text()
    assert timeline().html in page and page.startswith("<!DOCTYPE html>")
