"""The phases of a build in one picture: the way that all take, and where a failure leads.

AWS pages: "View build details in AWS CodeBuild"; "Build phase transitions".
"""

from __future__ import annotations

from labkit.colours import YOURS
from labkit.show.diagram import ARROW, Diagram, box

# phase, what it does, and what a command's or the phase's failure leads to
PHASES = (
    ("SUBMITTED", "StartBuild", ""),
    ("QUEUED", "waits for its turn", ""),
    ("PROVISIONING", "finds a machine", "end"),
    ("DOWNLOAD_SOURCE", "source, buildspec, cache", "end"),
    ("INSTALL", "your commands", "end"),
    ("PRE_BUILD", "your commands", "end"),
    ("BUILD", "your commands", "next"),
    ("POST_BUILD", "your commands", "next"),
    ("UPLOAD_ARTIFACTS", "reports, artifacts, cache", "next"),
    ("FINALIZING", "cleans up", ""),
)
_ALT = (
    "The phases of a build, in order: "
    + ", ".join(name for name, _, _ in PHASES)
    + ". A failure in PROVISIONING, DOWNLOAD_SOURCE, INSTALL or PRE_BUILD leads straight to "
    "FINALIZING. After a failure in BUILD, POST_BUILD and UPLOAD_ARTIFACTS still run; after one in "
    "POST_BUILD, UPLOAD_ARTIFACTS does. The build ends FAILED in each case."
)


def phase_map() -> Diagram:
    """The phases of a build, and what still runs after each fails."""
    boxes = ARROW.join(_phase(*one) for one in PHASES)
    legend = (
        "Thick border: phases of the buildspec. ✘ where the build goes on when the phase fails."
    )
    row = f'<div style="display:flex;flex-wrap:wrap;gap:8px;align-items:stretch">{boxes}</div>'
    return Diagram(f'<div style="margin-bottom:6px">{legend}</div>{row}', _ALT)


def _phase(name: str, text: str, failure: str) -> str:
    border = f"border:4px solid {YOURS}" if text == "your commands" else "border:1px solid"
    leads = {"end": "✘ to FINALIZING", "next": "✘ to the next phase"}.get(failure)
    return box(name, text, border, f"<br><small>{leads}</small>" if leads else "")
