"""The map of a build's phases: plain SVG, the same every time, its meaning in words."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from labkit.observe.builds import PHASES
from labkit.show import phase_map

SVG = "{http://www.w3.org/2000/svg}"


def test_every_phase_is_on_the_map_in_order() -> None:
    texts = ["".join(one.itertext()) for one in ET.fromstring(phase_map().svg).iter(f"{SVG}text")]
    assert [text for text in texts if text in PHASES] == PHASES


def test_it_says_in_words_what_it_shows() -> None:
    picture = phase_map()
    root = ET.fromstring(picture.svg)
    assert root.findtext(f"{SVG}title") == "The phases of a build"
    assert root.findtext(f"{SVG}desc") == picture.alt
    assert all(phase in picture.alt for phase in PHASES)
    assert picture.svg == phase_map().svg and "<script" not in picture.svg
