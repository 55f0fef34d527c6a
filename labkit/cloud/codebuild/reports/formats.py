"""The report files that CodeBuild reads: six of test results, five of code coverage.

XML is read by defusedxml, so that a file with entities neither hangs a build nor reads the disk. AWS
pages: "Working with reports in AWS CodeBuild"; "Test reporting"; "Code coverage reports"; "Build
specification reference for CodeBuild", reports/*/file-format.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

NANOSECONDS = 1_000_000_000


class ReportError(Exception):
    """A file that is not of its format."""


@dataclass(frozen=True)
class TestCase:
    """One test; its status is CodeBuild's: SUCCEEDED, FAILED, ERROR, SKIPPED or UNKNOWN."""

    name: str
    suite: str
    status: str
    nanoseconds: int = 0
    message: str = ""


@dataclass(frozen=True)
class Coverage:
    """How much of one source file ran."""

    path: str
    lines_covered: int
    lines_missed: int
    branches_covered: int = 0
    branches_missed: int = 0


def tests(file_format: str, body: bytes) -> list[TestCase]:
    """The test cases of a file.

    Raises:
        ReportError: it is not of that format.
    """
    return list(_read(TESTS[file_format], body))


def coverage(file_format: str, body: bytes) -> list[Coverage]:
    """The source files of a file.

    Raises:
        ReportError: it is not of that format.
    """
    return list(_read(COVERAGE[file_format], body))


def _read(reader: Callable[[bytes], Iterator[Any]], body: bytes) -> Iterator[Any]:
    try:
        yield from reader(body)
    except (
        ParseError,
        DefusedXmlException,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
    ) as error:
        raise ReportError(str(error) or type(error).__name__) from error


def _xml(body: bytes, *roots: str) -> Element:
    root: Element = fromstring(body)
    if _tag(root) not in roots:
        raise ReportError(f"its root is <{_tag(root)}>, expected <{'> or <'.join(roots)}>")
    return root


def _tag(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def _all(element: Element, name: str) -> Iterator[Element]:
    return (item for item in element.iter() if _tag(item) == name)


def _child(element: Element, *names: str) -> Element | None:
    return next((item for item in element if _tag(item) in names), None)


def _text(element: Element | None) -> str:
    return "" if element is None else "".join(element.itertext()).strip()


def _seconds(text: str | None) -> int:
    return int(float((text or "0").replace(",", "")) * NANOSECONDS)


# tests


def _junit(body: bytes) -> Iterator[TestCase]:
    def walk(element: Element, suite: str) -> Iterator[TestCase]:
        for item in element:
            if _tag(item) == "testcase":  # Node's reporter puts them below <testsuites> itself
                yield _junit_case(item, suite)
            elif _tag(item) == "testsuite":
                yield from walk(item, item.get("name") or suite)

    root = _xml(body, "testsuites", "testsuite")
    yield from walk(root, root.get("name") or "")


def _junit_case(item: Element, suite: str) -> TestCase:
    statuses = {"failure": "FAILED", "error": "ERROR", "skipped": "SKIPPED"}
    outcome = _child(item, *statuses)
    status = "SUCCEEDED" if outcome is None else statuses[_tag(outcome)]
    told = "" if outcome is None else outcome.get("message") or _text(outcome)
    group = item.get("classname") or suite
    return TestCase(item.get("name") or "", group, status, _seconds(item.get("time")), told)


def _nunit(body: bytes) -> Iterator[TestCase]:
    statuses = {
        "Success": "SUCCEEDED",
        "Failure": "FAILED",
        "Error": "ERROR",
        "Ignored": "SKIPPED",
        "Skipped": "SKIPPED",
        "NotRunnable": "ERROR",
        "Inconclusive": "UNKNOWN",
    }
    for item in _all(_xml(body, "test-results"), "test-case"):
        result = item.get("result") or ("Success" if item.get("success") == "True" else "")
        if item.get("executed") == "False":
            result = "Ignored"
        told = _text(_child_of(item, "message"))
        name = item.get("name") or ""
        yield TestCase(
            name,
            name.rpartition(".")[0],
            statuses.get(result, "UNKNOWN"),
            _seconds(item.get("time")),
            told,
        )


def _nunit3(body: bytes) -> Iterator[TestCase]:
    statuses = {"Passed": "SUCCEEDED", "Failed": "FAILED", "Skipped": "SKIPPED"}
    for item in _all(_xml(body, "test-run", "test-suite"), "test-case"):
        status = statuses.get(item.get("result") or "", "UNKNOWN")
        if item.get("label") == "Error":
            status = "ERROR"
        told = _text(_child_of(item, "message"))
        group = item.get("classname") or ""
        yield TestCase(item.get("name") or "", group, status, _seconds(item.get("duration")), told)


def _testng(body: bytes) -> Iterator[TestCase]:
    statuses = {"PASS": "SUCCEEDED", "FAIL": "FAILED", "SKIP": "SKIPPED"}
    for group in _all(_xml(body, "testng-results"), "class"):
        for item in _all(group, "test-method"):
            if item.get("is-config") == "true":
                continue
            status = statuses.get(item.get("status") or "", "UNKNOWN")
            nanoseconds = int(item.get("duration-ms") or 0) * 1_000_000
            told = _text(_child_of(item, "message"))
            yield TestCase(
                item.get("name") or "", group.get("name") or "", status, nanoseconds, told
            )


def _trx(body: bytes) -> Iterator[TestCase]:
    statuses = {
        "Passed": "SUCCEEDED",
        "Failed": "FAILED",
        "Error": "ERROR",
        "NotExecuted": "SKIPPED",
        "Inconclusive": "UNKNOWN",
    }
    root = _xml(body, "TestRun")
    classes = {
        unit.get("id"): method.get("className") or ""
        for unit in _all(root, "UnitTest")
        for method in _all(unit, "TestMethod")
    }
    for item in _all(root, "UnitTestResult"):
        hours, minutes, seconds = (item.get("duration") or "0:0:0").split(":")
        duration = (int(hours) * 60 + int(minutes)) * 60 * NANOSECONDS + _seconds(seconds)
        yield TestCase(
            item.get("testName") or "",
            classes.get(item.get("testId"), ""),
            statuses.get(item.get("outcome") or "", "UNKNOWN"),
            duration,
            _text(_child_of(item, "Message")),
        )


def _cucumber(body: bytes) -> Iterator[TestCase]:
    features = json.loads(body)
    if not isinstance(features, list):
        raise ReportError("it is not a list of features")
    for feature in features:
        for scenario in feature.get("elements") or []:
            if scenario.get("type") == "background":
                continue
            results = [step.get("result") or {} for step in scenario.get("steps") or []]
            told = "\n".join(
                str(item["error_message"]) for item in results if "error_message" in item
            )
            nanoseconds = sum(int(item.get("duration") or 0) for item in results)
            names = {item.get("status") for item in results}
            yield TestCase(
                scenario.get("name") or "",
                feature.get("name") or "",
                _scenario(names),
                nanoseconds,
                told,
            )


def _scenario(statuses: set[str | None]) -> str:
    """A scenario is as its worst step."""
    for name, status in (("failed", "FAILED"), ("ambiguous", "ERROR"), ("undefined", "ERROR")):
        if name in statuses:
            return status
    if statuses & {"skipped", "pending"}:
        return "SKIPPED"
    return "SUCCEEDED" if statuses <= {"passed"} else "UNKNOWN"


def _child_of(element: Element, name: str) -> Element | None:
    return next(_all(element, name), None)


# coverage


def _clover(body: bytes) -> Iterator[Coverage]:
    for item in _all(_xml(body, "coverage"), "file"):
        metrics = next((child for child in item if _tag(child) == "metrics"), None)
        if metrics is None:
            raise ReportError(f"the file {item.get('name')} has no metrics")
        statements, covered = (
            int(metrics.get(key) or 0) for key in ("statements", "coveredstatements")
        )
        branches, taken = (
            int(metrics.get(key) or 0) for key in ("conditionals", "coveredconditionals")
        )
        path = item.get("path") or item.get("name") or ""
        yield Coverage(path, covered, statements - covered, taken, branches - taken)


def _cobertura(body: bytes) -> Iterator[Coverage]:
    files: dict[str, list[int]] = {}
    for item in _all(_xml(body, "coverage"), "class"):
        counts = files.setdefault(item.get("filename") or "", [0, 0, 0, 0])
        own = _child(item, "lines")
        for line in own if own is not None else []:
            counts[0 if int(line.get("hits") or 0) else 1] += 1
            found = re.search(r"\((\d+)/(\d+)\)", line.get("condition-coverage") or "")
            if found:
                counts[2] += int(found[1])
                counts[3] += int(found[2]) - int(found[1])
    yield from (Coverage(path, *counts) for path, counts in files.items())


def _jacoco(body: bytes) -> Iterator[Coverage]:
    for package in _all(_xml(body, "report"), "package"):
        for item in package:
            if _tag(item) != "sourcefile":
                continue
            counts = {
                counter.get("type"): counter for counter in item if _tag(counter) == "counter"
            }

            def of(kind: str, what: str, counts: dict[str | None, Element] = counts) -> int:
                return int(counts[kind].get(what) or 0) if kind in counts else 0

            yield Coverage(
                f"{package.get('name')}/{item.get('name')}".lstrip("/"),
                of("LINE", "covered"),
                of("LINE", "missed"),
                of("BRANCH", "covered"),
                of("BRANCH", "missed"),
            )


def _simplecov(body: bytes) -> Iterator[Coverage]:
    found: dict[str, list[int]] = {}
    for path, lines, branches in _simplecov_files(json.loads(body)):
        counts = found.setdefault(path, [0, 0, 0, 0])
        for hits in lines:
            if isinstance(hits, int):
                counts[0 if hits else 1] += 1
        for hits in branches:
            counts[2 if hits else 3] += 1
    yield from (Coverage(path, *counts) for path, counts in found.items())


def _simplecov_files(document: Any) -> Iterator[tuple[str, list[Any], list[int]]]:
    """`coverage` by file at the top (simplecov-json), or below each command (.resultset.json)."""
    if not isinstance(document, dict):
        raise ReportError("it is not a JSON object")
    results = [document] if "coverage" in document else list(document.values())
    for result in results:
        for path, item in result["coverage"].items():
            lines = item["lines"] if isinstance(item, dict) else item
            branches = item.get("branches") if isinstance(item, dict) else None
            taken = [
                hits
                for branch in (branches or {}).values()
                for hits in (branch.values() if isinstance(branch, dict) else [branch])
            ]
            yield path, lines, taken


def _lcov(body: bytes) -> Iterator[Coverage]:
    path, counts, seen = "", [0, 0, 0, 0], False
    for line in body.decode("utf-8", "replace").splitlines():
        key, _, value = line.strip().partition(":")
        if key == "SF":
            path, counts, seen = value, [0, 0, 0, 0], True
        elif key == "DA":
            counts[0 if int(value.split(",")[1]) else 1] += 1
        elif key == "BRDA":
            counts[2 if value.rpartition(",")[2] not in ("-", "0") else 3] += 1
        elif key == "end_of_record":
            yield Coverage(path, *counts)
    if not seen:
        raise ReportError("it has no record of a source file")


TESTS: dict[str, Callable[[bytes], Iterator[TestCase]]] = {
    "JUNITXML": _junit,
    "NUNITXML": _nunit,
    "NUNIT3XML": _nunit3,
    "TESTNGXML": _testng,
    "VISUALSTUDIOTRX": _trx,
    "CUCUMBERJSON": _cucumber,
}
COVERAGE: dict[str, Callable[[bytes], Iterator[Coverage]]] = {
    "CLOVERXML": _clover,
    "COBERTURAXML": _cobertura,
    "JACOCOXML": _jacoco,
    "SIMPLECOV": _simplecov,
    "LCOV": _lcov,
}
