"""Checks of what a lesson leaves, the steps that a learner writes, and an interviewer's questions.

`check.source(lab)` asks the learner's AWS, `check.step("01.2")` looks at one answer, and
`questions("source")` asks the learner.
"""

from labkit.teach import checks as check
from labkit.teach.answers import NotWritten, Verdict, predict, todo
from labkit.teach.over import start_over
from labkit.teach.progress import course_map
from labkit.teach.questions import Question, Questions, questions
from labkit.teach.result import Line, Result

__all__ = [
    "Line",
    "NotWritten",
    "Question",
    "Questions",
    "Result",
    "Verdict",
    "check",
    "course_map",
    "predict",
    "questions",
    "start_over",
    "todo",
]
