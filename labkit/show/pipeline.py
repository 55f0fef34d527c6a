"""One execution as a picture: a box for each stage, in it a line for each action.

`render` makes HTML of a snapshot, and nothing but the snapshot: the same states give the same text.
`PipelineView` is that for a notebook; `live` keeps it up to date.
"""

from __future__ import annotations

from html import escape

from labkit.colours import ON_COLOUR
from labkit.lab import Lab
from labkit.markup import as_written
from labkit.missing import NotThere
from labkit.observe.snapshot import Action, Snapshot, Stage, snapshot
from labkit.observe.waiting import latest_execution
from labkit.show.states import Look, duration, look, look_of

_ARROW = '<div aria-hidden="true" style="align-self:center;font-size:1.4em">→</div>'


class PipelineView:
    """One execution of the lab's pipeline as it stands when it is displayed.

    Args:
        execution_id: None takes the one that started last.

    Raises:
        LookupError: the pipeline has had no execution.
    """

    def __init__(self, lab: Lab, execution_id: str | None = None) -> None:
        chosen = execution_id or latest_execution(lab)
        if chosen is None:
            raise NotThere(
                f"{lab.pipeline} has had no execution yet: pipeline.start(lab) starts one."
            )
        self.lab, self.execution_id = lab, chosen

    def snapshot(self) -> Snapshot:
        """Read the execution now."""
        return snapshot(self.lab, self.execution_id)

    def _repr_html_(self) -> str:
        return render(self.snapshot())

    def __repr__(self) -> str:
        return as_text(self.snapshot())


def pipeline(lab: Lab, execution_id: str | None = None) -> PipelineView:
    """Show an execution as it stands now; `live` shows it as it goes on."""
    return PipelineView(lab, execution_id)


def render(now: Snapshot) -> str:
    """A snapshot as HTML that needs no style sheet and no script."""
    stages = _ARROW.join(_stage(stage, over=now.over) for stage in now.stages)
    return as_written(
        f'<div role="group" aria-label="Pipeline {escape(now.pipeline)}: {escape(now.status)}">'
        f'{headline(now)}<div style="display:flex;flex-wrap:wrap;gap:8px">{stages}</div>'
        f"{_note(now)}</div>"
    )


def headline(now: Snapshot) -> str:
    """The line above the stages: state, pipeline, commit and its message."""
    shown = look(now.status)
    commit = f"<code>{escape(now.commit[:8])}</code> " if now.commit else ""
    message = escape((now.message or "").splitlines()[0]) if now.message else ""
    took = f" after {duration(now.seconds)}" if now.over else ""
    return (
        f'<p style="margin:4px 0">{_state(shown)}{took}: <strong>{escape(now.pipeline)}</strong> '
        f"{commit}{message}</p>"
    )


def as_text(now: Snapshot) -> str:
    """A snapshot as lines of text."""
    rows = [f"{now.pipeline}: {look(now.status).word}"]
    for action in now.actions:
        shown = look_of(action, over=now.over)
        row = f"  {shown.sign} {action.stage} / {action.name} ({action.provider}): {shown.word}"
        rows.append(f"{row} {duration(action.seconds)}".rstrip())
    note = _waits(now) or now.failure
    return "\n".join([*rows, *([f"  {note}"] if note else [])])


def _stage(stage: Stage, *, over: bool) -> str:
    shown = look_of(stage, over=over)
    actions = "".join(_action(action, over=over) for action in stage.actions)
    return (
        f'<div role="group" aria-label="Stage {escape(stage.name)}: {shown.word}" '
        f'style="border:1px solid {shown.colour};border-top:5px solid {shown.colour};'
        f'border-radius:4px;padding:6px 10px;min-width:9em">'
        f"<strong>{escape(stage.name)}</strong>{actions}</div>"
    )


def _action(action: Action, *, over: bool) -> str:
    took = duration(action.seconds)
    return (
        f'<div style="margin-top:4px">{escape(action.name)} '
        f"<small>{escape(action.provider)}</small><br>"
        f"{_state(look_of(action, over=over))}{f' <small>{took}</small>' if took else ''}</div>"
    )


def _state(shown: Look) -> str:
    return (
        f'<span style="background:{shown.colour};color:{ON_COLOUR};font-weight:600;'
        'white-space:nowrap;padding:0 6px;border-radius:3px">'
        f'<span aria-hidden="true">{shown.sign}</span> {shown.word}</span>'
    )


def _note(now: Snapshot) -> str:
    if waits := _waits(now):
        return f"<p>{escape(waits)}.</p>"
    return f"<p><strong>Why:</strong> {escape(now.failure)}</p>" if now.failure else ""


def _waits(now: Snapshot) -> str:
    if not now.waits_before:
        return ""
    return f"Waits before stage {now.waits_before}" + (f": {now.obstacle}" if now.obstacle else "")
