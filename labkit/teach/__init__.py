"""Checks of what a lesson leaves, and the questions an interviewer would ask about it.

`check.source(lab)` asks the learner's AWS; `questions("source")` asks the learner.
"""

from labkit.teach import checks as check
from labkit.teach.questions import Question, Questions, questions
from labkit.teach.result import Line, Result

__all__ = ["Line", "Question", "Questions", "Result", "check", "questions"]
