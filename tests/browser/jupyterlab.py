"""JupyterLab as `labkit lab` starts it, for a browser: a server on a free port, and what is asked of its page."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.waiting import eventually

if TYPE_CHECKING:
    from playwright.sync_api import Page

THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
START_SECONDS = 240  # of a busy machine
COURSE = "a course"  # the folder that `opened_by_labkit` lets it be laid into
WIDTHS = (1280, 760)  # pixels
OUTPUTS = ".jp-OutputArea-output.jp-RenderedHTML, .jp-OutputArea-output .jupyter-widgets"
_SETTINGS = {
    # all cells are there, not only those in sight
    "notebook-extension/tracker.jupyterlab-settings": {"windowingMode": "none"},
    "apputils-extension/notification.jupyterlab-settings": {
        "checkForUpdates": False,
        "fetchNews": "false",
    },
}


def places(directory: Path) -> dict[str, str]:
    """An environment in which Jupyter keeps its own files below `directory`."""
    names = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR",
             "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")  # fmt: skip
    return {name: str(directory / name.lower()) for name in names}


@contextmanager
def opened_by_labkit(directory: Path) -> Iterator[str]:
    """The course in a lab of its own, as `labkit lab` opens it; yields the lesson's address."""
    state, said = directory / "state of the läb", directory / "said"
    _set(state / "jupyter" / "settings")
    labkit = [sys.executable, "-m", "labkit.cli"]
    with said.open("w") as output:
        lab = subprocess.Popen(
            [
                *labkit, "lab", "--no-browser", "--state-dir", state,
                "--course", directory / COURSE,
            ],
            stdout=output,
            stderr=output,
        )  # fmt: skip

    def address() -> str | None:
        assert lab.poll() is None, said.read_text()
        found = re.search(r"^The first lesson: (\S+)$", said.read_text(), re.MULTILINE)
        return found and found[1]

    try:
        found = eventually(address, START_SECONDS, what="JupyterLab does not answer")
        assert found is not None
        yield found
    finally:
        subprocess.run([*labkit, "down", "--state-dir", state], check=True, capture_output=True)
        lab.wait(60)


@contextmanager
def served(course: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """Serve a folder in JupyterLab; yields the address of its page."""
    _set(Path(environment["JUPYTERLAB_SETTINGS_DIR"]))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [
            sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}",
            "--ServerApp.port_retries=0", "--IdentityProvider.token=", f"--ServerApp.root_dir={course}",
            "--LabApp.expose_app_in_browser=True",
        ],
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        eventually(lambda: _answers(f"{url}/api"), START_SECONDS, what="JupyterLab does not answer")
        yield f"{url}/lab"
    finally:
        server.terminate()
        server.wait(30)


def _set(settings: Path) -> None:
    for name, values in _SETTINGS.items():
        path = settings / "@jupyterlab" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))


def _answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def open_notebook(page: Page, path: str) -> None:
    """Open a notebook, and wait until all that it stores is shown."""
    page.wait_for_function("() => window.jupyterapp")
    page.evaluate("() => window.jupyterapp.restored")
    _command(page, "docmanager:open", {"path": path, "factory": "Notebook"})
    wait_for_notebook(page, path)


def wait_for_notebook(page: Page, path: str) -> None:
    """Wait until a notebook that is being opened is in front, with all that it stores."""
    page.wait_for_function("() => window.jupyterapp")
    name = path.rpartition("/")[2]
    page.wait_for_function(
        "name => { const shell = window.jupyterapp.shell;"
        " const panel = [...shell.widgets('main')].find(one => one.title.label === name);"
        # a launcher, which comes when nothing else is open, may come late and in front
        " if (panel && shell.currentWidget !== panel) shell.activateById(panel.id);"
        " return panel?.context?.isReady && shell.currentWidget === panel; }",
        arg=name,
    )
    page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Cell").first.wait_for()
    _command(page, "application:close-side-panel-unused", {}, missing_is_fine=True)
    page.evaluate("() => window.jupyterapp.shell.collapseLeft()")


def close_notebook(page: Page) -> None:
    """Close the notebook in front, without saving it."""
    page.evaluate("() => window.jupyterapp.shell.currentWidget.dispose()")


def look(page: Page, theme: str, width: int) -> None:
    """Take a theme and a width."""
    page.set_viewport_size({"width": width, "height": 1000})
    _command(page, "apputils:change-theme", {"theme": THEMES[theme]})
    page.wait_for_function(
        "light => document.body.dataset.jpThemeLight === light",
        arg="true" if theme == "light" else "false",
    )


def _command(
    page: Page, name: str, arguments: dict[str, Any], *, missing_is_fine: bool = False
) -> None:
    page.evaluate(
        "([name, args, fine]) => fine && !window.jupyterapp.commands.hasCommand(name) ? null"
        " : window.jupyterapp.commands.execute(name, args).then(() => null)",
        [name, arguments, missing_is_fine],
    )


def formulas(page: Page) -> list[str]:
    """The text of what has been typeset as mathematics."""
    return page.locator("mjx-container, .MathJax, .MathJax_Preview").all_text_contents()


# axe-core does not see into JupyterLab's panels: it gets the outputs on a sheet of the theme's colours
_SHEET = """selector => {
    const theme = getComputedStyle(document.body), sheet = document.createElement('div');
    sheet.style.background = theme.getPropertyValue('--jp-layout-color0');
    sheet.style.color = theme.getPropertyValue('--jp-content-font-color1');
    sheet.append(...[...document.querySelectorAll(selector)].map(one => {
        const copy = one.cloneNode(true), links = one.querySelectorAll('a');
        copy.querySelectorAll('a').forEach(
            (link, number) => link.style.color = getComputedStyle(links[number]).color);
        return copy;
    }));
    return sheet.outerHTML;
}"""


def faint(page: Page) -> list[str]:
    """What axe-core finds too faint in the outputs, in the theme as it is: less than 4.5 to 1.

    Raises:
        AssertionError: it has looked at nothing, though there are outputs.
    """
    if not page.locator(OUTPUTS).count():
        return []
    browser = page.context.browser
    assert browser is not None
    sheet = browser.new_page()
    try:
        sheet.set_content(f"<!DOCTYPE html><title>outputs</title>{page.evaluate(_SHEET, OUTPUTS)}")
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(sheet, options={"runOnly": ["color-contrast"]}).response
    finally:
        sheet.close()
    assert found["violations"] or found["passes"], "axe-core has looked at nothing"
    return [
        f"{one['any'][0]['data']['contrastRatio']} ({one['any'][0]['data']['fgColor']} on "
        f"{one['any'][0]['data']['bgColor']}): {one['html'][:200]}"
        for violation in found["violations"]
        for one in violation["nodes"]
    ]


def cut_off(page: Page) -> list[str]:
    """What of ours is wider than the notebook's outputs are; a table of data may be, and scrolls."""
    wider = (
        "outputs => outputs.filter(one => one.scrollWidth > one.clientWidth + 1 && one.querySelector"
        "('.mathjax_ignore')).map(one => `wider than the page: ${one.innerHTML.slice(0, 120)}`)"
    )
    found: list[str] = page.locator(OUTPUTS).evaluate_all(wider)
    return found
