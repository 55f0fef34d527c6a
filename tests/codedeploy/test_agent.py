"""What the agent and its host do that no table can show: bad manners, a full disk, other sources."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest

from labkit.cloud.codedeploy.agent.appspec import AppSpecError, parse
from labkit.cloud.front import launcher
from labkit.cloud.guests.isolation import bubblewrap
from tests.codedeploy.conftest import Fleet, bundle, make_fleet
from tests.conftest import Aws
from tests.hostile import chain_of_links
from tests.waiting import DEADLINE_SECONDS, eventually

pytestmark = [pytest.mark.slow, pytest.mark.guests]

HEADER = "version: 0.0\nos: linux\n"
ROOT = "/opt/codedeploy-agent/deployment-root"
SLEEPER = "sleep 300 >/dev/null 2>&1 </dev/null &"
isolated = pytest.mark.skipif(not bubblewrap(), reason="bubblewrap does not work here")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Hosts of a lab that does without bubblewrap."""
    state_dir = tmp_path_factory.mktemp("bare") / "state of it"
    before = os.environ.get("LABKIT_ISOLATION")
    os.environ["LABKIT_ISOLATION"] = "none"
    description, _ = launcher.up(state_dir)
    os.environ.pop("LABKIT_ISOLATION")
    if before is not None:
        os.environ["LABKIT_ISOLATION"] = before
    yield from make_fleet(Aws(description))
    launcher.down(state_dir)


@pytest.fixture(params=["fleet", "bare"])
def either(request: pytest.FixtureRequest) -> Fleet:
    return request.getfixturevalue(request.param)


@pytest.fixture
def group(fleet: Fleet) -> str:
    return fleet.group(fleet.hosts[0])


def scripts(timeout: int = 20, **hooks: str) -> dict[str, str]:
    """A revision whose hooks are these scripts."""
    spec = "".join(
        f"  {event}: [{{location: {event}.sh, timeout: {timeout}}}]\n" for event in hooks
    )
    files = {f"{event}.sh": f"#!/bin/bash\n{text}\n" for event, text in hooks.items()}
    return {"appspec.yml": f"{HEADER}hooks:\n{spec}", **files}


def run(fleet: Fleet, instance: str, script: str, timeout: int = 20) -> tuple[dict[str, Any], str]:
    """The event of a deployment whose ApplicationStart runs the script, and the scripts' log."""
    group = fleet.group(instance)
    info = fleet.deploy(group, scripts(timeout, ApplicationStart=script))
    event = fleet.events(info["deploymentId"], instance)["ApplicationStart"]
    return event, fleet.scripts_log(group, info["deploymentId"], instance)


# Scripts without manners


@pytest.mark.parametrize("end", ["terminate_instances", "stop_instances"])
def test_a_server_lives_on_after_its_hook_and_ends_with_its_host(either: Fleet, end: str) -> None:
    # D8; "Amazon EC2 instance state changes"
    host = either.launch()
    event, log = run(
        either,
        host,
        # one that ignores TERM, and whose child has another session
        "trap '' TERM\n"
        "nohup setsid bash -c 'trap \"\" TERM; while :; do sleep 30; done' "
        ">/dev/null 2>&1 </dev/null &\necho pid $!",
    )
    assert event["status"] == "Succeeded"
    daemon = int(re.search(r"pid (\d+)", log)[1])  # type: ignore[index]
    assert either.runs(host, daemon)
    getattr(either.aws.client("ec2"), end)(InstanceIds=[host])
    eventually(lambda: not either.runs(host, daemon))
    assert not [each for each in psutil.process_iter() if _owner(each) == f"host/{host}"]
    assert either.path(host).exists() == (end == "stop_instances")


def _owner(process: psutil.Process) -> str | None:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return process.environ().get("LABKIT_OWNER")
    except psutil.Error:
        return None


def test_a_script_that_ignores_the_end_of_its_time(either: Fleet) -> None:
    # D5, but for the KILL after the grace
    script = "trap 'echo ignored' TERM\necho pid $$\nwhile :; do sleep 0.1; done"
    event, log = run(either, either.hosts[0], script, timeout=1)
    assert event["diagnostics"]["errorCode"] == "ScriptTimedOut"
    assert not either.runs(either.hosts[0], int(re.search(r"pid (\d+)", log)[1]))  # type: ignore[index]


def test_a_child_that_holds_the_output_open_goes_on_without_it(fleet: Fleet) -> None:
    # D8, D10: the agent's code 6
    event, log = run(fleet, fleet.hosts[0], "sleep 60 &\necho pid $!", timeout=1)
    assert event["diagnostics"]["errorCode"] == "ScriptFailed"
    assert event["diagnostics"]["message"].endswith("failed to close STDOUT")
    child = int(re.search(r"pid (\d+)", log)[1])  # type: ignore[index]
    assert fleet.runs(fleet.hosts[0], child)
    run(fleet, fleet.hosts[0], f"kill -9 {child}")


@isolated
def test_a_script_that_kills_whatever_it_sees_reaches_its_own_host_alone(fleet: Fleet) -> None:
    # a host of its own: `pkill node` in a hook ends no other host's site
    _, log = run(fleet, fleet.hosts[0], f"{SLEEPER}\necho pid $!")
    server = int(re.search(r"pid (\d+)", log)[1])  # type: ignore[index]
    other = fleet.launch()
    _, log = run(fleet, other, f"{SLEEPER}\necho pid $!")
    own = int(re.search(r"pid (\d+)", log)[1])  # type: ignore[index]
    run(fleet, other, "kill -9 -1")
    eventually(lambda: not fleet.runs(other, own))
    assert fleet.runs(fleet.hosts[0], server)
    event, _ = run(fleet, other, "true")
    assert event["status"] == "Succeeded"
    run(fleet, fleet.hosts[0], f"kill {server}")


@pytest.mark.parametrize(
    "command",
    [
        "pkill -f 'NAME 600'",
        "pkill -KILL -x NAME",
        "kill $(pgrep -f 'NAME 600')",
        "test $(pgrep -c NAME) = 1 && pkill NAME",
        "killall NAME",
        "killall -q -9 NAME",
        "kill -9 $(pidof NAME)",
    ],
)
def test_a_script_s_pkill_reaches_its_own_host_alone(
    either: Fleet, tmp_path: Path, command: str
) -> None:
    name = f"site{random.randrange(10**8)}"
    program = shutil.copy("/bin/sleep", tmp_path / name)
    learners = subprocess.Popen([program, "600"])
    start = f'cp /bin/sleep "$HOST_ROOT/srv/{name}"; "$HOST_ROOT/srv/{name}" 600 '
    _, log = run(either, either.hosts[0], f"{start}>/dev/null 2>&1 </dev/null &\necho pid $!")
    server = int(re.search(r"pid (\d+)", log)[1])  # type: ignore[index]
    assert either.runs(either.hosts[0], server)
    event, log = run(either, either.hosts[0], command.replace("NAME", name))
    assert event["status"] == "Succeeded", log
    eventually(lambda: not either.runs(either.hosts[0], server))
    assert learners.poll() is None
    # the host's is gone, and the learner's is not found
    event, _ = run(either, either.hosts[0], f"pgrep -f '{name} 600'; killall {name}; pidof {name}")
    assert event["diagnostics"]["errorCode"] == "ScriptFailed"
    assert learners.poll() is None
    learners.kill()
    learners.wait()


@isolated
def test_a_daemon_without_an_environment_ends_with_its_host(fleet: Fleet) -> None:
    # "Amazon EC2 instance state changes"
    host, seconds = fleet.launch(), str(random.randrange(10**6, 10**9))
    run(fleet, host, f"env -i setsid sleep {seconds} >/dev/null 2>&1 </dev/null &")

    def daemons() -> list[psutil.Process]:
        return [
            one
            for one in psutil.process_iter(["cmdline"])
            if seconds in (one.info["cmdline"] or [])
        ]

    assert daemons()
    fleet.aws.client("ec2").terminate_instances(InstanceIds=[host])
    eventually(lambda: not daemons())


def test_fifty_megabytes_of_output(fleet: Fleet) -> None:
    # D14, D16: on the disk, and not in memory
    lab = psutil.Process(fleet.aws.description["pid"])
    run(fleet, fleet.hosts[0], "true")  # what a first deployment loads stays
    before = lab.memory_info().rss
    event, log = run(fleet, fleet.hosts[0], "yes $(seq -s, 100) | head -c 50000000; exit 1")
    tail = event["diagnostics"]["logTail"]
    assert 1000 < len(tail) < 2048
    assert tail.endswith("\n")
    assert all(line.startswith("[stdout]1,2,3,") for line in tail.splitlines()[:-1])
    assert len(log) > 50_000_000
    assert lab.memory_info().rss - before < 30_000_000


def test_one_line_of_twenty_megabytes(fleet: Fleet) -> None:
    # D16; the line is written in pieces
    event, log = run(
        fleet, fleet.hosts[0], "head -c 20000000 /dev/zero | tr '\\0' x; echo; echo end"
    )
    assert event["status"] == "Succeeded"
    assert log.count("x") > 19_999_000
    assert log.endswith("[stdout]end\n")


def test_a_script_that_deletes_the_agents_directory(fleet: Fleet) -> None:
    # E6; what is left is an honest failure, and the next deployment works
    host = fleet.launch()
    group = fleet.group(host)
    script = f'rm -rf "$HOST_ROOT{ROOT}"'
    info = fleet.deploy(group, scripts(BeforeInstall=script, AfterInstall="true"))
    install = fleet.events(info["deploymentId"], host)["Install"]["diagnostics"]
    assert install["errorCode"] == "UnknownError"
    assert "No such file or directory" in install["message"]
    assert fleet.deploy(group, scripts(AfterInstall="true"))["status"] == "Succeeded"


# What a host sees


@isolated
def test_a_host_sees_its_own_root(fleet: Fleet) -> None:
    host, other = fleet.hosts[:2]
    fleet.path(other, "/srv").mkdir(parents=True, exist_ok=True)
    fleet.path(other, "/srv/secret").write_text("x")
    _, log = run(
        fleet,
        host,
        f"""test -e '{fleet.path(other, "/srv/secret")}' || echo no other host
        test -e '{fleet.aws.state_dir}/keys' || test -d '{fleet.aws.state_dir}/hosts' || echo no lab
        test -e '{Path.home()}/.bashrc' || echo no home
        touch /usr/bin/x 2>/dev/null || echo read-only
        mkdir -p /var/www/html /data && echo hi > /var/www/html/index.html && pwd && echo "$HOME"
        echo x > /etc/hostname.own && cat /etc/hostname.own
        git --version && node --version && id -u
        echo "[$HOST_ROOT]" """,
    )
    said = [line.partition("[stdout]")[2] for line in log.splitlines() if "[stdout]" in line]
    assert said[:7] == ["no other host", "no lab", "no home", "read-only", "/", "/root", "x"]
    assert said[7].startswith("git version") and said[8].startswith("v")
    assert said[9:] == ["0", "[]"]
    assert fleet.path(host, "/var/www/html/index.html").read_text() == "hi\n"
    assert "Isolation: bubblewrap" in log


@isolated
@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize(
    ("user", "says"),
    [
        ("ec2-user", "ec2-user at /home/ec2-user"),
        ("ubuntu", "ubuntu at /home/ubuntu"),
        ("nginx", "This account is currently not available."),  # its shell is nologin
    ],
)
def test_a_script_runs_as_a_user_of_aws_images(fleet: Fleet, user: str, says: str) -> None:
    # D11
    host = fleet.hosts[0]
    group, files = fleet.group(host), scripts(AfterInstall='echo "$(id -un) at $HOME"')
    files["appspec.yml"] = files["appspec.yml"].replace("timeout:", f"runas: {user}, timeout:")
    info = fleet.deploy(group, files)
    assert f"[stdout]{says}\n" in fleet.scripts_log(group, info["deploymentId"], host)
    assert (info["status"] == "Succeeded") == says.startswith(user)


def test_without_bubblewrap_the_root_has_a_name(bare: Fleet) -> None:
    _, log = run(bare, bare.hosts[0], "echo $HOST_ROOT $HOME $TMPDIR; pwd")
    root = bare.path(bare.hosts[0])
    assert f"[stdout]{root} {root}/root {root}/tmp\n" in log
    assert (
        f"Isolation: none (LABKIT_ISOLATION=none); the host's root is {root} (HOST_ROOT)\n" in log
    )


@pytest.mark.parametrize(
    "way",
    [
        {"destination": "/../../../../../../../../../../tmp/$NAME"},
        {"destination": "../../../../../../../../../../tmp/$NAME"},
        {"destination": "/srv/../../../../../../../../../../tmp/$NAME"},
        {"destination": "/srv/out-$NAME/$NAME", "link": "../../../../../../../../../../../tmp"},
        {"destination": "/srv/out-$NAME/$NAME", "link": "/tmp"},
    ],
    ids=lambda way: " to ".join(way.values()),
)
def test_nothing_is_written_outside_a_host(either: Fleet, way: dict[str, str]) -> None:
    name, host = f"labkit-{uuid4().hex[:8]}", either.launch()
    destination = way["destination"].replace("$NAME", name)
    script = "true"
    if "link" in way:
        script = f'mkdir -p "$HOST_ROOT/srv" && ln -sfn {way["link"]} "$HOST_ROOT/srv/out-{name}"'
    files = scripts(BeforeInstall=script)
    files["appspec.yml"] += f"files: [{{source: a.txt, destination: {destination}}}]\n"
    group = either.group(host)
    for text in ("one", "two"):
        info = either.deploy(group, {**files, "a.txt": text}, fileExistsBehavior="OVERWRITE")
        assert not Path("/tmp", name).exists()
        assert info["status"] == "Succeeded"
        assert either.path(host, f"/tmp/{name}/a.txt").read_text() == text
    either.aws.client("ec2").terminate_instances(InstanceIds=[host])


# An agent that is stopped, and a disk that is full


def test_an_agent_that_is_stopped(fleet: Fleet) -> None:
    # "Troubleshoot EC2/On-Premises deployment issues"; "CodeDeploy limits", 5 minutes
    host = fleet.launch(**{"labkit:agent": "stopped"})
    began = time.monotonic()
    info = fleet.deploy(fleet.group(host), scripts(BeforeInstall="true"))
    assert 5 <= time.monotonic() - began < DEADLINE_SECONDS
    assert info["errorInformation"]["code"] == "HEALTH_CONSTRAINTS"
    events = fleet.events(info["deploymentId"], host)
    assert events["ApplicationStop"]["status"] == "Failed"
    assert "make sure the agent is running" in events["ApplicationStop"]["diagnostics"]["message"]
    assert events["DownloadBundle"]["status"] == "Skipped"


def test_an_agent_that_is_started_again_in_time(fleet: Fleet) -> None:
    host = fleet.launch(**{"labkit:agent": "stopped"})
    deployment = fleet.start(fleet.group(host), scripts(BeforeInstall="true"))
    fleet.wait_for_event(deployment, host, "ApplicationStop")
    tags = [{"Key": "labkit:agent"}]
    fleet.aws.client("ec2").delete_tags(Resources=[host], Tags=tags)
    assert fleet.wait(deployment)["status"] == "Succeeded"


@pytest.mark.parametrize("event", ["DownloadBundle", "Install"])
def test_a_disk_that_is_full(fleet: Fleet, event: str) -> None:
    host = fleet.launch(**{"labkit:disk-mb": "1" if event == "DownloadBundle" else "3"})
    group = fleet.group(host)
    files = {
        "appspec.yml": f"{HEADER}files: [{{source: big, destination: /srv}}]\n",
        "big": "x" * 1_200_000,
    }
    info = fleet.deploy(group, files)
    failed = fleet.events(info["deploymentId"], host)[event]
    assert failed["status"] == "Failed"
    assert failed["diagnostics"]["errorCode"] == "UnknownError"
    assert failed["diagnostics"]["message"] == "No space left on device"
    pointer = f"{ROOT}/deployment-instructions/{fleet.group_ids[group]}"
    assert not fleet.path(host, f"{pointer}_last_successful_install").exists()
    assert fleet.path(host, f"{pointer}_most_recent_install").exists() == (event == "Install")
    assert not fleet.path(host, "/srv/big").exists()


# What the agent keeps


def test_what_lies_where(fleet: Fleet, group: str) -> None:
    # E15, and D15: the log of all deployments
    host = fleet.hosts[0]
    files = scripts(AfterInstall="echo said")
    files["appspec.yml"] += "files: [{source: a.txt, destination: /srv/layout}]\n"
    deployment = fleet.deploy(group, {**files, "a.txt": "a"})["deploymentId"]
    group_id = fleet.group_ids[group]
    here = f"{ROOT}/{group_id}/{deployment}"
    for name in ("deployment-archive/appspec.yml", "logs/scripts.log", "bundle.tar"):
        assert fleet.path(host, f"{here}/{name}").is_file()
    instructions = f"{ROOT}/deployment-instructions/{group_id}"
    for name in ("_last_successful_install", "_most_recent_install"):
        assert fleet.path(host, instructions + name).read_text() == here
    assert fleet.path(host, f"{instructions}-cleanup").read_text().endswith("/srv/layout/a.txt\n")
    assert "/srv/layout/a.txt" in fleet.path(host, f"{instructions}-install.json").read_text()
    combined = fleet.path(host, f"{ROOT}/deployment-logs/codedeploy-agent-deployments.log")
    own = [line for line in combined.read_text().splitlines() if f"[{deployment}]" in line]
    stamp = r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\] "
    assert re.fullmatch(stamp + rf"\[{deployment}\]\[stdout\]said", own[-1])
    assert any(line.endswith("]LifecycleEvent - AfterInstall") for line in own)


def test_a_script_has_an_hour_if_nothing_is_said() -> None:
    # A17
    spec = parse(HEADER + "hooks: {AfterInstall: [{location: a}, {location: b, timeout: 7}]}")
    assert [script.timeout for script in spec.hooks["AfterInstall"]] == [3600, 7]


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"name: caf\xe9s\n", "invalid trailing UTF-8 octet"),
        (b"name: caf\xe9", "incomplete UTF-8 octet sequence"),
        (b"name: \xff\n", "invalid leading UTF-8 octet"),
        ("version: 0.0\n".encode("utf-16"), "invalid leading UTF-8 octet"),
        (b"version: 0.0\0\n", "control characters are not allowed"),
    ],
)
def test_bytes_that_are_no_text(raw: bytes, told: str) -> None:
    # psych, SyntaxError
    with pytest.raises(AppSpecError) as refused:
        parse(raw)
    assert str(refused.value) == f"(<unknown>): {told} at line 1 column 1"


def test_two_groups_do_not_clean_up_after_each_other(fleet: Fleet) -> None:
    # B10: the list is the group's
    host, path = fleet.hosts[0], f"/srv/{uuid4().hex[:8]}"
    files = {
        "appspec.yml": f"{HEADER}files: [{{source: a.txt, destination: {path}}}]\n",
        "a.txt": "a",
    }
    assert fleet.deploy(fleet.group(host), files)["status"] == "Succeeded"
    second = fleet.deploy(fleet.group(host), files)
    install = fleet.events(second["deploymentId"], host)["Install"]["diagnostics"]
    assert "already exists at this location" in install["message"]
    assert fleet.path(host, f"{path}/a.txt").exists()


# Revisions from GitHub


@pytest.fixture
def github(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Fleet, str]]:
    """A lab that looks for GitHub's repositories in a directory, and a commit of `me/site`."""
    place = tmp_path_factory.mktemp("github")
    site = place / "me" / "site.git"
    files = {
        "appspec.yml": f"{HEADER}files: [{{source: a.txt, destination: /srv/site}}]\n"
        "hooks: {AfterInstall: [{location: env.sh}]}\n",
        "a.txt": "from git",
        "env.sh": "#!/bin/sh\necho $BUNDLE_COMMIT ${BUNDLE_KEY-none}\n",
    }
    site.mkdir(parents=True)
    for name, text in files.items():
        (site / name).write_text(text)
    (site / "env.sh").chmod(0o755)
    who = ["-c", "user.name=me", "-c", "user.email=me@example.com"]
    for arguments in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "one"]):
        subprocess.run(["git", *arguments], cwd=site, check=True)
    told = subprocess.run(["git", "rev-parse", "HEAD"], cwd=site, check=True, capture_output=True)
    state_dir = place / "state"
    os.environ["LABKIT_GITHUB_URL"] = f"file://{place}"
    description, _ = launcher.up(state_dir)
    del os.environ["LABKIT_GITHUB_URL"]
    for fleet in make_fleet(Aws(description)):
        yield fleet, told.stdout.decode().strip()
    launcher.down(state_dir)


def test_a_revision_from_github(github: tuple[Fleet, str]) -> None:
    # "GitHubLocation" in the API Reference; D13
    fleet, commit = github
    host = fleet.hosts[0]
    group = fleet.group(host)

    def deploy(commit: str, repository: str = "me/site") -> dict[str, Any]:
        location = {"repository": repository, "commitId": commit}
        revision = {"revisionType": "GitHub", "gitHubLocation": location}
        return fleet.deploy(group, None, revision=revision)

    info = deploy(commit)
    assert info["status"] == "Succeeded"
    assert info["revision"]["gitHubLocation"]["commitId"] == commit
    assert fleet.path(host, "/srv/site/a.txt").read_text() == "from git"
    log = fleet.scripts_log(group, info["deploymentId"], host)
    assert f"[stdout]{commit} none\n" in log
    archive = f"{ROOT}/{fleet.group_ids[group]}/{info['deploymentId']}/deployment-archive"
    assert sorted(path.name for path in fleet.path(host, archive).iterdir()) == [
        "a.txt", "appspec.yml", "env.sh",
    ]  # fmt: skip
    for given in ((commit, "me/nothing"), ("0" * 40, "me/site")):
        event = fleet.events(deploy(*given)["deploymentId"], host)["DownloadBundle"]
        assert event["diagnostics"]["errorCode"] == "UnknownError"
        assert "Could not download bundle at 'file://" in event["diagnostics"]["message"]
    invalid = fleet.codedeploy.exceptions.InvalidRevisionException
    for given in (("main", "me/site"), (commit, "site")):
        with pytest.raises(invalid):
            deploy(*given)


def test_a_bundle_of_the_whole_lab_stays_a_bundle(fleet: Fleet, group: str) -> None:
    # B2, E15: what the agent keeps is no part of what it installs
    files = {"appspec.yml": f"{HEADER}files: [{{source: /, destination: /srv/whole}}]\n"}
    info = fleet.deploy(group, None, revision=fleet.revision(fleet.upload(bundle(files))))
    assert info["status"] == "Succeeded"
    assert [path.name for path in fleet.path(fleet.hosts[0], "/srv/whole").iterdir()] == [
        "appspec.yml"
    ]


def test_a_chain_of_links_too_long_to_follow_does_not_lead_out(fleet: Fleet, group: str) -> None:
    """CVE-2025-4517: tarfile's own filters let this one out."""
    key, host = fleet.upload(chain_of_links("", "..", "written")), fleet.hosts[0]
    deployment = fleet.start(group, None, revision=fleet.revision(key, "tar"))
    assert fleet.wait(deployment)["status"] == "Failed"
    assert fleet.events(deployment, host)["DownloadBundle"]["status"] == "Failed"
    assert not list(fleet.path(host).rglob("written"))
