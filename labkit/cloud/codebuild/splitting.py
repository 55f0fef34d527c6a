"""The commands that share out a test suite among the builds of a fan-out, on every build's PATH.

`codebuild-tests-run` finds the test files, takes this build's share and runs the tests of it;
`codebuild-glob-search` finds files. They run in the build, so this module imports nothing of ours.

AWS pages: "Use the codebuild-tests-run CLI command"; "Use the codebuild-glob-search CLI command";
"About test splitting".
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

FILES = "CODEBUILD_CURRENT_SHARD_FILES"
SHARD = "LABKIT_SHARD"  # `2/5`: the second of five builds; AWS's own name for it is not public
EQUAL, STABLE = "equal-distribution", "stability"


def main(arguments: Sequence[str]) -> int:
    """Run one of the two commands; its exit status."""
    name, *rest = arguments
    return {"tests-run": tests_run, "glob-search": glob_search}[name](rest)


def tests_run(arguments: Sequence[str]) -> int:
    """`codebuild-tests-run`: run the tests of this build's share of the files."""
    given = _options().parse_args(arguments)
    search = subprocess.run(
        ["sh", "-c", given.files_search], stdout=subprocess.PIPE, text=True, check=False
    )
    if search.returncode:
        return _complain(f"the files-search command failed: exit status {search.returncode}")
    files = [line.strip() for line in search.stdout.splitlines() if line.strip()]
    if not files:
        return _complain("the files-search command found no test files")
    number, count = _place()
    mine = share(files, number, count, given.sharding_strategy)
    print(f"Shard {number} of {count}: {len(mine)} of {len(files)} test files", flush=True)
    if not mine:
        return 0  # another build of the fan-out has them
    command = given.test_command
    if FILES not in command:
        command = f"{command} {shlex.join(mine)}"
    env = {**os.environ, FILES: "\n".join(mine)}
    return subprocess.run(["sh", "-c", command], env=env, check=False).returncode


def glob_search(arguments: Sequence[str]) -> int:
    """`codebuild-glob-search`: print the files below the working directory that match."""
    if not arguments:
        return _complain("usage: codebuild-glob-search <glob_pattern1> [<glob_pattern2> ...]", 2)
    rules = [_pattern(glob) for glob in arguments]
    found = sorted(name for name in _files() if any(rule.fullmatch(name) for rule in rules))
    if not found:
        print("No files were found that match the given patterns", file=sys.stderr)
    for name in found:
        print(name)
    return 0


def share(files: Sequence[str], number: int, count: int, strategy: str = EQUAL) -> list[str]:
    """The files of build `number` of `count`; every file is some build's, and only one's.

    By equal distribution, chunks of the sorted names whose sizes differ by one at most. By
    stability, each where its own name's hash says (rendezvous hashing), so that a new file moves
    no other.
    """
    ordered = sorted(set(files))
    if strategy == STABLE:
        return [name for name in ordered if _favourite(name, count) == number]
    size, longer = divmod(len(ordered), count)
    start = (number - 1) * size + min(number - 1, longer)
    return ordered[start : start + size + (number <= longer)]


def _favourite(name: str, count: int) -> int:
    def weight(number: int) -> bytes:
        return hashlib.sha256(f"{number}/{name}".encode()).digest()

    return max(range(1, count + 1), key=weight)


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser("codebuild-tests-run", allow_abbrev=False)
    options.add_argument("--test-command", required=True)
    options.add_argument("--files-search", required=True)
    options.add_argument("--sharding-strategy", choices=(EQUAL, STABLE), default=EQUAL)
    return options


def _place() -> tuple[int, int]:
    """This build's number and how many there are; a build of no fan-out has all the tests."""
    number, _, count = os.environ.get(SHARD, "1/1").partition("/")
    return int(number), int(count)


def _files() -> Iterator[str]:
    for directory, _, names in os.walk("."):
        yield from (str(Path(directory) / name) for name in names)


def _pattern(glob: str) -> re.Pattern[str]:
    text = ""
    for part in re.findall(r"\*\*/|\*\*|\*|\?|[^*?]+", glob.removeprefix("./")):
        signs = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
        text += signs.get(part) or re.escape(part)
    return re.compile(text, re.DOTALL)


def _complain(message: str, status: int = 1) -> int:
    print(message, file=sys.stderr, flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
