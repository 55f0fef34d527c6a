"""How a state is shown everywhere: a sign, AWS's word for it, and a colour; never a colour alone."""

from __future__ import annotations

from dataclasses import dataclass

from labkit import colours
from labkit.observe.snapshot import Action, Stage


@dataclass(frozen=True)
class Look:
    """A sign and a word that are read, a colour for HTML and one for the terminal."""

    sign: str
    word: str
    colour: str
    style: str


_LOOKS = {
    None: Look("·", "Not started", colours.QUIET, "dim"),
    "InProgress": Look("▶", "In progress", colours.RUNNING, "bold blue"),
    "Succeeded": Look("✔", "Succeeded", colours.GOOD, "green"),
    "Failed": Look("✘", "Failed", colours.BAD, "bold red"),
    "Stopping": Look("■", "Stopping", colours.STOPPED, "yellow"),
    "Stopped": Look("■", "Stopped", colours.STOPPED, "yellow"),
    "Abandoned": Look("■", "Abandoned", colours.STOPPED, "yellow"),
    "Superseded": Look("↷", "Superseded", colours.STOPPED, "yellow"),
    "Cancelled": Look("■", "Cancelled", colours.STOPPED, "yellow"),
}
_WAITS = Look("?", "Waits for approval", colours.WAITING, "bold magenta")


def look(state: str | None) -> Look:
    """How one of CodePipeline's states looks."""
    return _LOOKS.get(state) or Look("•", state or "", colours.QUIET, "")


def look_of(item: Action | Stage, *, over: bool = False) -> Look:
    """How an action or a stage looks; what has not run when all is over, did not run."""
    if isinstance(item, Action) and item.token:
        return _WAITS
    if isinstance(item, Stage) and any(action.token for action in item.actions):
        return _WAITS
    if item.status is None and over:
        return Look("·", "Didn't run", colours.QUIET, "dim")
    return look(item.status)


def duration(seconds: float | None) -> str:
    """A duration as a reader wants it: "8.4 s", "2 min 05 s"."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
