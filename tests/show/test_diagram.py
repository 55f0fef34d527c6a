"""The map of the pipeline: plain HTML, the same every time, its meaning in words."""

from __future__ import annotations

from html import escape

import pytest

from labkit import provision
from labkit.show.diagram import BOXES, ORDER, diagram


def test_every_piece_is_on_the_map() -> None:
    assert {piece.name for piece in provision.PIECES} < set(ORDER)
    assert {box.piece for box in BOXES} - {""} == set(ORDER)


@pytest.mark.parametrize("here", [None, *ORDER])
def test_the_picture_has_every_box_and_needs_no_style_sheet(here: str | None) -> None:
    html = diagram(here).html
    assert all(f"<strong>{box.title}" in html and box.text in html for box in BOXES)
    assert html == diagram(here).html
    for never in ("<style", "<script", "<svg", "currentColor", "var(", " id="):
        assert never not in html


@pytest.mark.parametrize("here", ORDER)
def test_the_piece_is_marked_in_words_too(here: str) -> None:
    picture = diagram(here)
    assert picture.alt.startswith(f"The pipeline; you are here: {here}.")
    assert picture.html.count("you are here</span>") == sum(box.piece == here for box in BOXES)
    later = ORDER[ORDER.index(here) + 1 :]
    assert picture.html.count("dashed") == sum(box.piece in later for box in BOXES)


def test_without_a_piece_nothing_is_marked() -> None:
    assert "you are here" not in diagram().html and "dashed" not in diagram().html


def test_an_unknown_piece_is_refused() -> None:
    with pytest.raises(ValueError, match="no piece 'deployment'; there are source, roles"):
        diagram("deployment")


def test_in_a_notebook_it_has_an_alternative_text() -> None:
    alt = diagram("build").alt
    assert f'role="img" aria-label="{escape(alt)}"' in diagram("build")._repr_html_()
