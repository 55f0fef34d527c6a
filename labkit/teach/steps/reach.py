"""Lesson 16: what is wrong with an answer."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any
from unittest.mock import Mock

from botocore.exceptions import ClientError

from labkit.observe import Snapshot

Job = dict[str, Any]


def executions_of_one_push(triggers: list[str]) -> str:
    return str(len(triggers))


def type_described(weigh: dict[str, Any]) -> Iterator[str]:
    given = tuple(weigh.get(key) for key in ("category", "provider"))
    if given != ("Test", "Weigh"):
        yield f"the category is Test and the provider Weigh, not {given[0]} and {given[1]}"
    if not isinstance(weigh.get("version"), str):
        yield f'a version is a text: "1", not {weigh.get("version")!r}'
    if "owner" in weigh:
        yield "the owner is not asked for: it is Custom for every type that you make"
    properties = {one["name"]: one for one in weigh.get("configurationProperties", [])}
    if list(properties) != ["Folder"]:
        yield "whoever uses the action sets one thing, the Folder: configurationProperties"
    if not properties["Folder"]["required"]:
        yield "without a folder the worker does not know what to weigh: required is True"
    if properties["Folder"]["secret"]:
        yield "a secret is shown to nobody who looks at the pipeline; a folder's name is none"
    counts = {key: tuple(weigh[f"{key}ArtifactDetails"].values()) for key in ("input", "output")}
    if counts["input"] != (1, 1):
        yield f"it takes just one artifact: 1 and 1, not {counts['input'][0]} and {counts['input'][1]}"
    if counts["output"] != (0, 0):
        yield "a test makes no artifact: 0 and 0 in outputArtifactDetails"


def without_a_worker(now: Snapshot) -> str:
    return "it waits" if now.actions[1].status == "InProgress" else "it fails"


def artifact_opened(job: Job, open_artifact: Callable[[Job], Any]) -> Iterator[str]:
    opened = open_artifact(job)
    if not isinstance(opened, zipfile.ZipFile):
        yield f"it returns a {type(opened).__name__}; weight_of wants an open zipfile.ZipFile"
    if "site.json" not in opened.namelist():
        yield "there is no site.json in it, so it is not our source"
    nobody = {key: "none" for key in job["data"]["artifactCredentials"]}
    try:
        open_artifact({**job, "data": {**job["data"], "artifactCredentials": nobody}})
    except ClientError:
        return
    yield "it works without the job's credentials: it fetches with your own, which a worker elsewhere has not"


def result_written(done: Callable[[Job, int], dict[str, Any]]) -> Iterator[str]:
    made = done({"id": "a-job"}, 4711)
    if not isinstance(made, dict):
        yield "it returns the parameters as a dict; the next cells put them"
    if made.get("jobId") != "a-job":
        yield 'which job it is the result of is not in it: "jobId": job["id"]'
    variables = made.get("outputVariables", {})
    if "Bytes" not in variables:
        yield "nobody could use the weight later: it is an output variable, Bytes"
    if variables["Bytes"] == 4711:
        yield "output variables are texts: str(weight)"
    if variables["Bytes"] != "4711":
        yield f"for 4711 bytes it says {variables['Bytes']}"
    if "continuationToken" in made:
        yield "a continuationToken says that the work goes on; this one is done"


def asked_again(again: list[Any]) -> str:
    return "yes" if again else "no"


def worker_written(work: FunctionType) -> Iterator[str]:
    """Has it work for a CodePipeline that only notes what it is told, once well and once badly."""
    for error in (None, LookupError("there is no folder")):
        told = Mock()
        weigh = Mock(return_value=1, side_effect=error)
        names = {**work.__globals__, "codepipeline": told, "weight_of": weigh}
        names["done"] = lambda job, weight: {"jobId": job["id"]}
        mine = FunctionType(work.__code__, names, work.__name__, work.__defaults__)
        try:
            mine({"id": "a-job", "nonce": "7", "data": {}})
        except LookupError:
            yield "where the work raises an error, so does the worker, and CodePipeline hears nothing"
        yield from _told(told, failed=error is not None)


def _told(told: Mock, *, failed: bool) -> Iterator[str]:
    calls = {name: given for name, _, given in told.method_calls}
    names = list(calls)
    if names[:1] != ["acknowledge_job"]:
        yield "a worker takes the job first, or another one does it as well: acknowledge_job"
    if failed and "put_job_success_result" in names:
        yield "it says success where the work has failed"
    wanted = "put_job_failure_result" if failed else "put_job_success_result"
    if names[1:] != [wanted]:
        how = "fails" if failed else "succeeds"
        yield f"where the work {how} it has to call {wanted}, and nothing else"
    if failed and "there is no folder" not in calls[wanted]["failureDetails"]["message"]:
        yield "the message does not say what went wrong: str(error)"


def machine_described(judge: dict[str, Any]) -> Iterator[str]:
    states = judge["States"]
    first = states.get(judge["StartAt"], {})
    if first.get("Type") != "Choice":
        yield "StartAt names the state to begin with, the one of the type Choice"
    choices, kinds = first.get("Choices", []), {name: one["Type"] for name, one in states.items()}
    if len(choices) != 1 or choices[0].get("Variable") != "$.bytes":
        yield 'one choice will do, and it looks at "$.bytes"'
    if "Default" not in first:
        yield "what is too heavy fits no choice, and the machine would not know where to go: Default"
    [choice] = choices
    if "NumericLessThan" in choice:
        yield "20,000 bytes are still allowed: NumericLessThanEquals"
    if choice.get("NumericLessThanEquals") == 20_000:
        light, heavy = choice["Next"], first["Default"]
    elif choice.get("NumericGreaterThan") == 20_000:
        light, heavy = first["Default"], choice["Next"]
    else:
        yield "its comparison is NumericLessThanEquals, with the number 20_000"
    if (kinds.get(light), kinds.get(heavy)) != ("Succeed", "Fail"):
        yield f"what is light goes to {light}, which should be a Succeed, what is heavy to {heavy}, a Fail"
    if states[heavy].get("Error") != "TooHeavy":
        yield "the failing state's Error is TooHeavy, so that everybody sees why"


def input_set(decide: dict[str, Any]) -> Iterator[str]:
    given = decide["configuration"].get("Input")
    if given is None:
        yield "the machine would get {}: set Input"
    if not isinstance(given, str):
        yield f"a configuration's values are texts, not {type(given).__name__}"
    if "#{Weighed.Bytes}" not in given:
        yield "the weight is the variable #{Weighed.Bytes}: the action's namespace, and the name that the worker gave"
    found = json.loads(given.replace("#{Weighed.Bytes}", "4711"))
    if found.get("bytes") == "4711":
        yield "with quotation marks it is a text, and NumericLessThanEquals compares numbers"
    if found != {"bytes": 4711}:
        yield f"for 4711 bytes the machine would get {found}"
