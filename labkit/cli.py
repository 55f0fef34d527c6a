"""The `labkit` command: start and stop the local AWS, hand out its environment, open the lab.

Every command takes `--state-dir`; without it there is one lab per user.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import platformdirs

from labkit import course


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    options = _parser().parse_args(arguments)
    options.state_dir = options.state_dir.expanduser().resolve()
    from labkit.cloud.front.launcher import LaunchError

    try:
        status: int = options.run(options)
        return status
    except (LaunchError, course.CourseError) as error:
        print(f"labkit: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def default_state_dir() -> Path:
    """The one place per user: `LABKIT_STATE_DIR`, or where platformdirs says."""
    named = os.environ.get("LABKIT_STATE_DIR")
    return Path(named) if named else platformdirs.user_state_path("labkit", appauthor=False)


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--state-dir",
        type=Path,
        default=default_state_dir(),
        metavar="DIR",
        help="where this lab keeps everything (default: %(default)s)",
    )
    as_json = argparse.ArgumentParser(add_help=False)
    as_json.add_argument("--json", action="store_true", help="print one JSON object")
    port = argparse.ArgumentParser(add_help=False)
    port.add_argument(
        "--port", type=int, default=0, metavar="N", help="the loopback port (default: a free one)"
    )
    parser = argparse.ArgumentParser(prog="labkit", description="A lab for CI/CD on AWS.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name: str, run: Any, help: str, *parents: argparse.ArgumentParser) -> Any:
        added = commands.add_parser(name, help=help, description=help, parents=[common, *parents])
        added.set_defaults(run=run)
        return added

    command("up", _up, "start the local AWS in the background", as_json, port)
    command("status", _status, "say what runs and where", as_json)
    command("down", _down, "end every process the lab started")
    command("reset", _reset, "start over with a fresh, empty AWS", as_json)
    command("env", _env, 'print the environment; use it as: eval "$(labkit env)"', as_json)
    lab = command("lab", _lab, "open JupyterLab on the first lesson", port)
    lab.add_argument("--no-browser", action="store_true", help="print the address instead")
    lab.add_argument(
        "--course",
        type=Path,
        metavar="DIR",
        help="the folder to put the lessons into, or where they are already "
        f"(default: {course.FOLDER} in the clone, or here where there is none)",
    )
    lab.add_argument(
        "--reference", action="store_true", help="open the lessons with all answers in them"
    )
    demo = command("demo", _demo, "the whole journey in this terminal", port)
    demo.add_argument(
        "--charts", type=Path, default=Path("charts"), metavar="DIR", help="where the charts go"
    )
    demo.add_argument("--keep", action="store_true", help="leave everything running afterwards")
    command(
        "prefetch",
        _prefetch,
        "download what the lessons' builds need, for when there is no network",
    )
    command("doctor", _doctor, "check this machine and say how to fix what is missing")
    return parser


def _up(options: argparse.Namespace) -> int:
    from labkit.cloud.front import launcher

    description, started = launcher.up(options.state_dir, options.port)
    if options.json:
        print(json.dumps(description, indent=2))
        return 0
    if not started:
        print("Already running; nothing changed.")
    _describe(description)
    print('In a shell: eval "$(labkit env)"')
    return 0


def _status(options: argparse.Namespace) -> int:
    from labkit.cloud.front import launcher
    from labkit.cloud.guests.processes import Processes

    description = launcher.status(options.state_dir)
    if description is None:
        print("null" if options.json else f"Nothing runs in {options.state_dir}.")
        return 0 if options.json else 3
    owners: dict[str, int] = {}
    for process in Processes(options.state_dir).find():
        owner = process.environ().get("LABKIT_OWNER", "?")
        owners[owner] = owners.get(owner, 0) + 1
    if options.json:
        shown = {key: value for key, value in description.items() if "secret" not in key}
        print(json.dumps({**shown, "processes": owners}, indent=2))
        return 0
    _describe(description)
    for owner, count in sorted(owners.items()):
        print(f"  {owner}: {count} process{'es' if count > 1 else ''}")
    return 0


def _down(options: argparse.Namespace) -> int:
    from labkit.cloud.front import launcher

    ended = launcher.down(options.state_dir)
    print(
        f"Ended {ended} process{'' if ended == 1 else 'es'}." if ended else "Nothing was running."
    )
    return 0


def _reset(options: argparse.Namespace) -> int:
    from labkit.cloud.front import launcher

    description = launcher.reset(options.state_dir)
    if options.json:
        print(json.dumps(description, indent=2))
    else:
        print("A fresh, empty AWS.")
        _describe(description)
    return 0


def _env(options: argparse.Namespace) -> int:
    from labkit.cloud.front import launcher

    description = launcher.status(options.state_dir)
    if description is None:
        print("labkit: no local AWS runs; start it with: labkit up", file=sys.stderr)
        return 1
    environment = launcher.environment(description)
    if options.json:
        print(json.dumps(environment, indent=2))
        return 0
    print(f"unset {' '.join(launcher.UNSET)}")
    for name, value in environment.items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


def _lab(options: argparse.Namespace) -> int:
    from labkit import jupyter
    from labkit.cloud.front import launcher
    from labkit.cloud.guests.processes import JUPYTERLAB, LAB, OWNER

    folder = course.folder(options.course)
    edition = course.REFERENCE if options.reference and folder else course.LESSONS
    laid = course.lay(folder) if folder else None
    description, _ = launcher.up(options.state_dir, options.port)
    _describe(description)
    print(f"Course:    {laid or course.source}")
    print("Starting JupyterLab. Ctrl-C ends it; the local AWS stays until: labkit down", flush=True)
    lessons = folder or course.source
    # its own mark, so that `labkit down` finds it too
    mark = {LAB: description["state_dir"], OWNER: JUPYTERLAB, course.NAMED: str(lessons)}
    environment = _environment(description) | mark
    first = f"{edition}/{course.WELCOME}"
    return jupyter.run(lessons, first, environment, browser=not options.no_browser)


def _demo(options: argparse.Namespace) -> int:
    from labkit.cloud.front import launcher

    description, started = launcher.up(options.state_dir, options.port)
    command = [sys.executable, "-m", "labkit.demo", "--charts", str(options.charts)]
    try:
        done = subprocess.run(
            [*command, "--keep"] if options.keep else command,
            env=_environment(description),
            check=False,
        )
        return done.returncode
    finally:
        if started and not options.keep:
            launcher.down(options.state_dir)


def _prefetch(options: argparse.Namespace) -> int:
    from labkit.cloud.guests import downloads

    place = downloads.own_place(options.state_dir)
    try:
        count = downloads.fetch(place)
    except downloads.DownloadError as error:
        print(f"labkit: not everything could be downloaded.\n{error}", file=sys.stderr)
        return 1
    packages = f"{count} package{'' if count == 1 else 's'}"
    print(f"The demo and all lessons need no network now: {packages} in {place}")
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from labkit import doctor

    return doctor.main(options.state_dir)


def _environment(description: dict[str, Any]) -> dict[str, str]:
    """This process's environment with the lab's in place of the user's own AWS settings."""
    from labkit.cloud.front import launcher

    mine = {name: value for name, value in os.environ.items() if name not in launcher.UNSET}
    path = os.pathsep.join([str(Path(sys.executable).parent), mine.get("PATH", os.defpath)])
    return {
        **mine,
        "PATH": path,
        **launcher.environment(description),
        **launcher.jupyter_environment(description),
    }


def _describe(description: dict[str, Any]) -> None:
    print(f"Local AWS: {description['endpoint_url']} (Region {description['region']}, "
          f"account {description['account_id']}, pid {description['pid']})")  # fmt: skip
    print(f"State:     {description['state_dir']}")
    print(f"Isolation: {description['isolation']}")


if __name__ == "__main__":
    sys.exit(main())
