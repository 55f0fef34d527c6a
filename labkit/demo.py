"""The whole journey in a terminal: `labkit demo` runs it in the lab's environment.

Provision every piece, release a version, release a second one, push one whose test fails, and look
at what it all took. Each claim is checked as it is made; one that does not hold ends the demo.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from labkit import course, observe, show
from labkit.lab import Lab
from labkit.observe import Snapshot
from labkit.provision import left_over, pipeline, provision, source, tear_down

console = Console(highlight=False)


class DemoFailed(Exception):
    """A step did not end as it should."""


def main() -> int:
    """Run the demo; returns the exit status."""
    parser = argparse.ArgumentParser(prog="labkit demo")
    parser.add_argument("--charts", type=Path, required=True)
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    lab = Lab("demo")
    try:
        tear_down(lab)  # what a demo that was interrupted has left
        _provision(lab)
        _first_release(lab)
        _second_release(lab)
        _failing_release(lab)
        _look_back(lab, options.charts)
        if not options.keep:
            _tear_down(lab)
    except (DemoFailed, TimeoutError) as error:
        console.print(f"\n[bold]The demo did not go as it should:[/] {error}", style="red")
        return 1
    console.print(f"\nNow in a browser: [bold]{'make' if course.in_clone else 'labkit'} lab[/]")
    return 0


def _provision(lab: Lab) -> None:
    _title("1. Provision every piece")
    provision(lab, on_progress=lambda name, what: console.print(f"  {name:<10} {what}"))


def _first_release(lab: Lab) -> None:
    _title("2. The first release")
    _expect(show.terminal.follow(lab, console=console), "Succeeded")
    _show_sites(lab, "1.0.0")


def _second_release(lab: Lab) -> None:
    _title("3. Push version 2.0.0")

    def edit(directory: Path) -> None:
        source.replace("site.json", '"1.0.0"', '"2.0.0"')(directory)
        source.replace("site.json", '"teal"', '"purple"')(directory)

    execution = pipeline.release(lab, "Version 2.0.0, in purple", edit)
    _expect(show.terminal.follow(lab, execution, console=console), "Succeeded")
    _show_sites(lab, "2.0.0")


def _failing_release(lab: Lab) -> None:
    _title("4. Push a version whose test fails: a colour that the page does not have")
    edit = source.replace("site.json", '"purple"', '"tael"')
    execution = pipeline.release(lab, "Version 3, in tael", edit)
    ended = show.terminal.follow(lab, execution, console=console)
    _expect(ended, "Failed")
    states = {action.name: action.status for action in ended.actions}
    if states.get("Build") != "Failed" or states.get("Deploy") not in (None, ""):
        raise DemoFailed(f"the pipeline should stop at Build: {states}")
    console.print("  The pipeline stopped at Build; the old version is still served.")
    _show_sites(lab, "2.0.0")


def _look_back(lab: Lab, charts: Path) -> None:
    _title("5. What it took")
    table = observe.costs(lab)
    console.print("  The same work on AWS would have cost, before the free tier:")
    priced = Table(box=None, show_header=False, padding=(0, 2))
    priced.add_column(max_width=60)
    priced.add_column(justify="right")
    for row in table.itertuples():
        priced.add_row(f"{row.service}: {row.item}", f"${row.cost:.4f}")
    priced.add_row("in all", f"${table['cost'].sum():.4f}", style="bold")
    console.print(priced)
    for name, chart in {
        "build-phases": observe.chart_build_phases(observe.build_phases(lab)),
        "deployments": observe.chart_deployments(observe.deployment_outcomes(lab)),
        "costs": observe.chart_costs(table),
        "timeline": observe.chart_timeline(observe.actions(lab)),
    }.items():
        path = chart.save(charts / f"{name}.html")
        console.print(f"  {path}: {chart.alt}", soft_wrap=True)


def _tear_down(lab: Lab) -> None:
    _title("6. Tear down")
    tear_down(lab)
    left = left_over(lab)
    if left:
        raise DemoFailed(f"still there: {', '.join(left)}")
    console.print("  Nothing is left.")


def _show_sites(lab: Lab, version: str) -> None:
    sites = show.sites(lab)
    for site in sites:
        console.print(
            f"  GET {site.url} -> version {site.version}, commit {site.commit[:8]}, {site.colour}"
            if not site.error
            else f"  GET {site.url} -> {site.error}"
        )
    if not sites or any(site.version != version for site in sites):
        raise DemoFailed(f"every host should serve version {version}")


def _expect(ended: Snapshot, status: str) -> None:
    if ended.status != status:
        raise DemoFailed(f"the execution is {ended.status}, not {status}: {ended.failure}")


def _title(text: str) -> None:
    console.print(f"\n[bold]{text}[/]")


if __name__ == "__main__":
    sys.exit(main())
