"""What a cell needs and does not find, in a sentence: what is missing, and what brings it.

A lesson's cell may be run twice, out of order, or after a tear-down. AWS then answers with an error code of its
own, which is right for a client and little help to a learner.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from botocore.exceptions import ClientError

from labkit.lab import Lab
from labkit.markup import Sentence

P = ParamSpec("P")
T = TypeVar("T")

# AWS's code: what is not there, the lesson that makes it, the piece that has it
_PIECES = {
    "RepositoryDoesNotExistException": ("repository", 1, "source"),
    "BranchDoesNotExistException": ("commit on the branch", 1, "source"),
    "NoSuchEntity": ("role", 2, "roles"),
    "ResourceNotFoundException": ("build project", 3, "build"),
    "NoSuchBucket": ("artifact bucket", 4, "artifacts"),
    "ApplicationDoesNotExistException": ("CodeDeploy application", 5, "deploy"),
    "DeploymentGroupDoesNotExistException": ("deployment group", 5, "deploy"),
    "PipelineNotFoundException": ("pipeline", 6, "pipeline"),
}
# what a lesson has started, of a lab that has been torn down or set up anew since
_OF_A_RUN = {
    "PipelineExecutionNotFoundException": "execution",
    "DeploymentDoesNotExistException": "deployment",
}


class NotThere(Sentence, LookupError):
    """Something that a cell needs is not there; the message says what, and which cell or lesson to run."""


def says_what_is_missing(
    function: Callable[Concatenate[Lab, P], T],
) -> Callable[Concatenate[Lab, P], T]:
    """The same function; where AWS has not got what it asks for, it raises `NotThere`."""

    @functools.wraps(function)
    def wrapped(lab: Lab, /, *arguments: P.args, **named: P.kwargs) -> T:
        try:
            return function(lab, *arguments, **named)
        except ClientError as error:
            sentence = _sentence(lab, error.response["Error"]["Code"])
            if sentence is None:
                raise
            raise NotThere(sentence) from error

    return wrapped


def _sentence(lab: Lab, code: str) -> str | None:
    if code in _PIECES:
        what, lesson, piece = _PIECES[code]
        return (
            f"Lab {lab.name!r} has no {what}. Run the first cells of this lesson again; they make what it "
            f'needs. Lesson {lesson} shows how, and provision(lab, until="{piece}") does it in one call.'
        )
    if code in _OF_A_RUN:
        return (
            f"Lab {lab.name!r} has no such {_OF_A_RUN[code]}: what started it is older than the pipeline "
            "or the group that is there now. Run this lesson again from its first cell."
        )
    return None
