"""One table of colours: what each means, in every chart, diagram and view alike.

A colour is a ground for white text (4.5 to 1 at least) and stands out from a light page and a dark one
(3 to 1 at least), so nothing of ours asks which theme the reader has; text on the page itself has the
page's own colour. Green is success and vermilion is failure, and nothing else has either. The hues are
Okabe and Ito's, darkened, for readers who are colour-blind; whatever has a colour says its meaning in
words as well. WCAG 2.2: "Contrast (Minimum)", "Non-text Contrast".
"""

from __future__ import annotations

ON_COLOUR = "#ffffff"  # text on any of them

GOOD, BAD, RUNNING = "#007d5a", "#c24100", "#007891"
WAITING, STOPPED, QUIET = "#a8478f", "#6f6f00", "#707070"
BAD_VERSION = "#8a5ad0"  # of a site: the one that fails, whoever serves it
YOURS = "#0072b2"  # where the learner is, and what they write

STATES = {
    "Succeeded": GOOD,
    "SUCCEEDED": GOOD,
    "used": GOOD,
    "Failed": BAD,
    "FAILED": BAD,
    "FAULT": BAD,
    "TIMED_OUT": BAD,
    "error": BAD,
    "refused": BAD,
    "InProgress": RUNNING,
    "IN_PROGRESS": RUNNING,
    "Created": RUNNING,
    "Stopping": STOPPED,
    "Stopped": STOPPED,
    "STOPPED": STOPPED,
    "Abandoned": STOPPED,
    "Superseded": STOPPED,
    "Cancelled": STOPPED,
}
# what is neither good nor bad, one after another: stages, phases, versions
KINDS = ("#0072b2", "#91600a", "#4f7396", "#b0496a", "#5a7a4a",
         "#6d5bd0", "#7d6a52", "#855f86", "#3a7a70", "#6d6d9e")  # fmt: skip


def of_state(state: str | None) -> str:
    """The colour of a state of CodePipeline, CodeBuild or CodeDeploy."""
    return STATES.get(state or "", QUIET)


def of_kind(number: int) -> str:
    """The colour of the kind of that number; they come again after the last."""
    return KINDS[number % len(KINDS)]
