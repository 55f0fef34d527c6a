"""The map of the pipeline: plain SVG, the same every time, its meaning in words."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from labkit import provision
from labkit.show.diagram import BOXES, HEIGHT, ORDER, WIDTH, diagram

SVG = "{http://www.w3.org/2000/svg}"


def test_every_piece_is_on_the_map() -> None:
    assert {piece.name for piece in provision.PIECES} < set(ORDER)
    assert {box.piece for box in BOXES} - {""} == set(ORDER)


@pytest.mark.parametrize("here", [None, *ORDER])
def test_the_picture_is_svg_with_a_title_and_a_description(here: str | None) -> None:
    picture = diagram(here)
    root = ET.fromstring(picture.svg)
    title, description = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert title is not None and description is not None
    assert description.text == picture.alt
    assert picture.svg == diagram(here).svg
    assert " id=" not in picture.svg and "<script" not in picture.svg


@pytest.mark.parametrize("here", ORDER)
def test_the_piece_is_marked_in_words_too(here: str) -> None:
    picture = diagram(here)
    assert picture.alt.startswith(f"The pipeline; you are here: {here}.")
    assert picture.svg.count("you are here</text>") == sum(box.piece == here for box in BOXES)
    dashed = picture.svg.count("stroke-dasharray")
    later = ORDER[ORDER.index(here) + 1 :]
    assert dashed == sum(box.piece in later for box in BOXES)


def test_without_a_piece_nothing_is_marked() -> None:
    assert "you are here" not in diagram().svg and "stroke-dasharray" not in diagram().svg


def test_all_boxes_are_inside() -> None:
    for box in BOXES:
        assert box.x >= 0 and box.x + box.width <= WIDTH
        assert box.y >= 12 and box.y + box.height <= HEIGHT


def test_an_unknown_piece_is_refused() -> None:
    with pytest.raises(ValueError, match="no piece 'deployment'; there are source, roles"):
        diagram("deployment")


def test_in_a_notebook_it_is_an_image_with_an_alternative_text() -> None:
    html = diagram("build")._repr_html_()
    assert html.startswith('<img alt="The pipeline; you are here: build.')
    assert "data:image/svg+xml;base64," in html
