"""The table of colours: read on a light page and a dark one, one meaning each (WCAG 2.2, "Contrast")."""

from __future__ import annotations

import pytest

from labkit import colours

PAGES = ("#ffffff", "#111111")  # JupyterLab's grounds of an output
STATES = (
    colours.GOOD,
    colours.BAD,
    colours.RUNNING,
    colours.WAITING,
    colours.STOPPED,
    colours.QUIET,
)
ALL = (*STATES, *colours.KINDS, colours.BAD_VERSION, colours.YOURS)


@pytest.mark.parametrize("colour", ALL)
def test_white_text_is_read_on_it_and_it_stands_out_from_the_page(colour: str) -> None:
    assert contrast(colour, colours.ON_COLOUR) >= 4.5
    assert all(contrast(colour, page) >= 3 for page in PAGES)


def test_no_colour_of_a_state_means_anything_else() -> None:
    assert len(set(STATES)) == len(STATES) and len(set(colours.KINDS)) == len(colours.KINDS)
    assert not {*STATES, colours.BAD_VERSION} & set(colours.KINDS)
    assert set(colours.STATES.values()) <= set(STATES)


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    """WCAG 2.2, "relative luminance"."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
