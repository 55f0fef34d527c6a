"""The map of a build's phases: plain HTML, the same every time, its meaning in words."""

from __future__ import annotations

import re

from labkit.observe.builds import PHASES
from labkit.show import phase_map


def test_every_phase_is_on_the_map_in_order() -> None:
    assert re.findall("<strong>(.*?)</strong>", phase_map().html) == PHASES


def test_it_says_in_words_what_it_shows() -> None:
    picture = phase_map()
    assert f'aria-label="{picture.alt}"' in picture._repr_html_()
    assert all(phase in picture.alt for phase in PHASES)
    assert picture.html == phase_map().html
