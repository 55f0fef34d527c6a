"""What builds see of the network: none, or the learner's own registries and proxies."""

from __future__ import annotations

import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from labkit.cloud.front import launcher
from labkit.cloud.guests import downloads
from tests.codebuild.conftest import Bench, make_bench
from tests.codebuild.test_builds import inline
from tests.codebuild.without_network import BUILDS, ROOT
from tests.conftest import Aws
from tests.offline import offline

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def without_network(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The builds of `without_network`, run where there is none."""
    downloads.fetch(downloads.FETCHED)
    state_dir = tmp_path_factory.mktemp("offline") / "state"
    command = offline(sys.executable, "-m", "tests.codebuild.without_network", str(state_dir))
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


ADVICE = "This command asked for something by the network"


@pytest.mark.parametrize("name", ["the sample app", "no network needed"])
def test_what_needs_no_network_is_not_told_of_it(
    without_network: dict[str, Any], name: str
) -> None:
    build = without_network[name]
    assert build["status"] == ("SUCCEEDED" if BUILDS[name] is None else "FAILED"), build["log"]
    assert not any(ADVICE in line for line in build["log"])


# the build has 60 s; npm by itself tries again for longer than that
@pytest.mark.parametrize("name", ["another npm package", "a pip package", "a download"])
def test_what_needs_a_network_fails_soon_and_says_what_to_do(
    without_network: dict[str, Any], name: str
) -> None:
    build = without_network[name]
    assert build["status"] == "FAILED", build["log"]
    [told] = [line for line in build["log"] if ADVICE in line]
    assert "this machine has none" in told
    assert "HTTPS_PROXY" in told
    assert "labkit prefetch" not in told  # all that the lessons need is there


class Registry(http.server.ThreadingHTTPServer):
    """A registry that has nothing, and knows what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []  # path, Authorization
        registry = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                registry.asked.append((self.path, self.headers["Authorization"]))
                self.send_error(404)

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    with Registry() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory, registry: Registry) -> Iterator[Bench]:
    """The lab of a learner whose company has registries of its own, as their files say."""
    home, state_dir = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("lab") / "state"
    (home / "ca.pem").write_text("a certificate\n")
    (home / ".npmrc").write_text(
        f"; mine\nregistry = http://${{USER_OF}}:npm-password@{registry.url}/npm/\n"
        f"@team:registry=http://{registry.url}/team/\n//{registry.url}/npm/:_authToken=npm-token\n"
        f'cafile="{home}/ca.pem"\ninit-author-name=Somebody\nprefix={home}/node\n'
    )
    (home / ".config" / "pip").mkdir(parents=True)
    (home / ".config" / "pip" / "pip.conf").write_text(
        f"[global]\nindex-url = http://me:pip-password@{registry.url}/pip/\nuser = true\n"
        "[install]\ntrusted-host =\n  127.0.0.1\n  intranet\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CONFIG_FILE", "XDG_CONFIG_HOME"):
            patch.delenv(name, raising=False)
        patch.setenv("HOME", str(home))
        patch.setenv("USER_OF", "me")
        patch.setenv("NPM_CONFIG_//somewhere/:_authToken", "env-token")
        patch.setenv("PIP_REQUIRE_VIRTUALENV", "1")
        patch.setenv("COMPANY_PROXY", "http://me:proxy-password@proxy.example:3128")
        description, _ = launcher.up(state_dir)
    yield make_bench(Aws(description))
    launcher.down(state_dir)


def built(bench: Bench, *commands: str) -> str:
    spec = json.dumps({"version": 0.2, "phases": {"build": {"commands": commands}}})
    build = bench.run(bench.project(source=inline(spec)))
    assert build["buildStatus"] == "SUCCEEDED", bench.log(build)
    return "\n".join(bench.log(build))


def test_the_learners_registries_are_asked(company: Bench, registry: Registry) -> None:
    built(
        company,
        "npm view some-package || true",
        "npm view @team/other || true",
        "pip download --no-deps some-thing || true",
    )
    paths = {path for path, _ in registry.asked}
    assert paths >= {"/npm/some-package", "/team/@team%2fother", "/pip/some-thing/"}
    assert {authorization for _, authorization in registry.asked} == {None}


def test_a_builds_own_settings_win(company: Bench, registry: Registry) -> None:
    built(
        company,
        f"echo 'registry=http://{registry.url}/own/' > ~/.npmrc",
        "npm view some-package || true",
    )
    assert "/own/some-package" in {path for path, _ in registry.asked}


def test_nothing_else_of_the_learners_reaches_a_build(company: Bench) -> None:
    log = built(
        company,
        "env; cat ~/.npmrc ~/.config/pip/pip.conf; npm config ls; pip config list",
        'cat "$(npm config get cafile)"',
    )
    assert "\na certificate\n" in log
    assert "trusted-host" in log
    assert "http://me:***@proxy.example:3128" in log  # a proxy needs it, and no log shows it
    for never in ("-token", "-password", "authToken", "Somebody", "REQUIRE_VIRTUALENV", "user ="):
        assert never not in log, log
