"""When the server is killed, nothing that it started lives on; in either isolation."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from labkit.cloud.front import launcher
from labkit.cloud.guests.processes import JUPYTERLAB, Processes
from tests.cloud.balancers import Balancer, to
from tests.cloud.clusters import Cluster
from tests.cloud.functions import make_functions
from tests.codebuild.conftest import make_bench
from tests.codebuild.test_builds import inline
from tests.codedeploy.conftest import make_fleet
from tests.conftest import Aws
from tests.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.guests]

SECONDS = 5  # within which all has ended
STUBBORN = "sleep 600 & sh -c 'trap \"\" TERM; sleep 600' & env -i sleep 600 & sleep 600"


@pytest.fixture(params=["the best", "none"])
def lab(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Aws]:
    if request.param == "none":
        monkeypatch.setenv("LABKIT_ISOLATION", "none")
    aws = Aws(launcher.up(tmp_path / "state")[0])
    for name, value in launcher.environment(aws.description).items():
        monkeypatch.setenv(name, value)
    yield aws
    launcher.down(aws.state_dir)


def test_nothing_outlives_a_server_that_is_killed(lab: Aws, tmp_path: Path) -> None:
    processes = Processes(lab.state_dir)
    owners = set[str]()

    def working(*kinds: str) -> bool:
        for process in processes.find():
            owners.add(process.environ().get("LABKIT_OWNER", "").partition("/")[0])
        return set(kinds) <= owners

    bench = make_bench(lab)
    text = f"version: 0.2\nphases:\n  build:\n    commands:\n      - |\n        {STUBBORN}\n"
    bench.codebuild.start_build(projectName=bench.project(source=inline(text)))
    fleet = next(make_fleet(lab))
    hook = "#!/bin/sh\nnohup sleep 600 >/dev/null 2>&1 </dev/null &\n"
    spec = "version: 0.0\nos: linux\nhooks: {ApplicationStart: [{location: start.sh}]}\n"
    fleet.deploy(fleet.group(fleet.hosts[0]), {"appspec.yml": spec, "start.sh": hook})
    functions = make_functions(lab)
    functions.call(functions.make("exports.handler = async () => 'done'"))
    cluster, balancer = Cluster(lab, tmp_path), Balancer(lab)
    cluster.run(cluster.site("one"))
    balancer.listen(to(balancer.group()))
    eventually(lambda: working("build", "host", "function", "task", "balancer"))
    opened = processes.start(["sleep", "600"], owner=JUPYTERLAB, env=dict(os.environ), cwd=tmp_path)

    os.kill(lab.description["pid"], signal.SIGKILL)

    eventually(lambda: processes.find(but_not=JUPYTERLAB), SECONDS, enough=lambda found: not found)
    assert not [one for one in psutil.process_iter(["cmdline"]) if _is_stubborn(one)]
    assert opened.poll() is None  # the learner's JupyterLab is theirs
    opened.kill()
    opened.wait()


def _is_stubborn(process: psutil.Process) -> bool:
    return (
        process.info["cmdline"] == ["sleep", "600"]
        and process.environ().get("LABKIT_OWNER") != JUPYTERLAB
    )
