"""The exercises: what each hands out, and how it grades what is handed in.

`task = exercise("write_the_buildspec")` is the exercise of one student: its `given` names and ports,
the texts and policies to `begin` with. `task.grade(buildspec=...)` starts a local AWS of its own,
does there what was handed in, asks that AWS what came of it, and removes it. Nothing else is looked at:
not the learner's usual lab, nor what somebody else has handed in before.

An exercise is one module here (`EXERCISE`: what varies, what to begin with, what to do with an answer,
and the lines of the grade), a notebook in `exercises/`, its solution, and rows of wrong attempts in
`tests/exercises/attempts.toml`.
"""

from __future__ import annotations

from importlib import import_module

from labkit.teach.exercises.model import Check, Exercise, Grade
from labkit.teach.exercises.task import Task, student_id

__all__ = ["NAMES", "Check", "Exercise", "Grade", "Task", "exercise", "student_id"]

# in the order of the notebooks
NAMES = (
    "write_the_buildspec",
    "fix_the_deployment",
    "fix_the_permissions",
    "declare_the_pipeline",
    "close_the_bucket",
    "write_the_role",
    "watch_the_branch",
    "gate_the_release",
    "write_the_hook",
    "move_some_hosts",
    "trim_the_policy",
    "set_the_guardrail",
    "protect_the_branch",
)


def exercise(name: str, student: str = "") -> Task:
    """The exercise of one student; the same student always gets the same.

    Args:
        student: under which name the learner hands in; see `student_id` for what goes before it.

    Raises:
        ValueError: there is no such exercise.
    """
    if name not in NAMES:
        raise ValueError(f"no exercise {name!r}; there are {', '.join(NAMES)}")
    found: Exercise = import_module(f"labkit.teach.exercises.{name}").EXERCISE
    return Task(name, found, student_id(student), worked_as=student)
