"""CodeDeploy's behaviour as data: each case of `cases.yaml` is deployed for real and compared.

A case is one step, or a list of `steps` on one deployment group. A step: `before` (files that are
on the hosts), `spec` (an appspec.yml after its version and os) or `appspec` (all of it), `files`
(the rest of the bundle), `kind` (of the bundle, `tgz as tar` for one that is called something else)
and `deploy` (settings of CreateDeployment) in; `expect` out. `$HERE` is a directory of the host for
this case alone, `$CASE` its name, `$FIRST` and `$LAST` are the ids of its hosts. `rule` is the number
of the agent's rule, or the AWS page. A case of another `platform` is an appspec, and its error.
"""

from __future__ import annotations

import contextlib
import io
import re
import stat
import tarfile
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests import tables
from tests.codedeploy.conftest import bundle, read_entry

pytestmark = pytest.mark.guests

CASES = tables.read(Path(__file__).with_name("cases.yaml"))
SERVER = [case for case in CASES if "platform" not in case]
OTHERS = [case for case in CASES if "platform" in case]
LISTENER = "arn:aws:elasticloadbalancing:us-east-1:123456789012:listener/app/none/1/2"
# of an ECS group, whose resources nobody has made
ECS_GROUP = {
    "ecsServices": [{"clusterName": "none", "serviceName": "none"}],
    "blueGreenDeploymentConfiguration": {
        "terminateBlueInstancesOnDeploymentSuccess": {
            "action": "TERMINATE",
            "terminationWaitTimeInMinutes": 0,
        },
        "deploymentReadyOption": {
            "actionOnTimeout": "CONTINUE_DEPLOYMENT",
            "waitTimeInMinutes": 0,
        },
    },
    "loadBalancerInfo": {
        "targetGroupPairInfoList": [
            {
                "targetGroups": [{"name": "blue"}, {"name": "green"}],
                "prodTrafficRoute": {"listenerArns": [LISTENER]},
            }
        ]
    },
}
HEADER = "version: 0.0\nos: linux\n"
EVENTS = [
    "ApplicationStop",
    "DownloadBundle",
    "BeforeInstall",
    "Install",
    "AfterInstall",
    "ApplicationStart",
    "ValidateService",
]
RULES = {"A": 30, "B": 17, "C": 9, "D": 16, "E": 19}  # of the agent, by section
# Rules that no case of the table can show, and where they are shown, or why nowhere.
ELSEWHERE = {
    "A17": "test_agent.py",
    "A20": "a rule of Windows hosts, and the lab's are Linux",
    "B12": "test_deployments.py",
    "D15": "test_agent.py",
    "E4": "test_traffic.py",
    "E8": "test_traffic.py",
    "E11": "a rule of the agent's local command line, which the lab has not",
    "E15": "test_agent.py",
    "E16": "test_deployments.py",
    "E18": "an agent of the lab ends with the lab, and its deployments with it",
    "E19": "test_deployments.py",
}


def test_every_rule_of_the_agent_has_a_case_or_a_reason() -> None:
    numbered = {f"{letter}{n + 1}" for letter, count in RULES.items() for n in range(count)}
    shown = set(re.findall(r"\b[A-E]\d+\b", " ".join(case["rule"] for case in CASES)))
    assert numbered - shown == set(ELSEWHERE) - shown
    assert shown <= numbered
    for rule, where in ELSEWHERE.items():
        if where.endswith(".py"):
            text = Path(__file__).with_name(where).read_text(encoding="utf-8")
            assert re.search(rf"# .*\b{rule}\b", text), (rule, where)


def test_every_case_has_a_name_of_its_own_and_a_rule() -> None:
    assert len({case["name"] for case in CASES}) == len(CASES)
    assert all(case.get("rule") for case in CASES)


@pytest.mark.parametrize(
    ("number", "case"), list(enumerate(SERVER)), ids=[case["name"] for case in SERVER]
)
def test_a_deployment_does_as_codedeploy_does(
    fleet: Any, number: int, case: dict[str, Any]
) -> None:
    hosts = fleet.hosts[: case.get("hosts", 1)]
    case_name = f"labkit-case-{number}"
    names = {
        "$HERE": f"/srv/{case_name}",
        "$CASE": case_name,
        "$FIRST": hosts[0],
        "$LAST": hosts[-1],
    }
    group = fleet.group(*hosts, **_config(fleet, case))
    for step in case.get("steps", [case]):
        _deploy(fleet, group, hosts, _replace(step, names))


@pytest.mark.parametrize("case", OTHERS, ids=[case["name"] for case in OTHERS])
def test_an_appspec_of_another_platform_is_read(fleet: Any, case: dict[str, Any]) -> None:
    """One that is good names what is not there, and fails only then."""
    platform = case["platform"]
    application = f"{fleet.application}-{platform}"
    api = fleet.codedeploy
    with contextlib.suppress(api.exceptions.ApplicationAlreadyExistsException):
        api.create_application(applicationName=application, computePlatform=platform)
    with contextlib.suppress(api.exceptions.DeploymentGroupAlreadyExistsException):
        api.create_deployment_group(
            applicationName=application,
            deploymentGroupName="one",
            serviceRoleArn=fleet.service_role,
            deploymentConfigName=f"CodeDeployDefault.{platform}AllAtOnce",
            deploymentStyle={
                "deploymentType": "BLUE_GREEN",
                "deploymentOption": "WITH_TRAFFIC_CONTROL",
            },
            **(ECS_GROUP if platform == "ECS" else {}),
        )
    revision = {"revisionType": "AppSpecContent", "appSpecContent": {"content": case["appspec"]}}
    deployment = api.create_deployment(
        applicationName=application, deploymentGroupName="one", revision=revision
    )["deploymentId"]
    error = fleet.wait(deployment)["errorInformation"]
    assert error["code"] == case["expect"]["error"], error
    assert case["expect"].get("message", "") in error["message"]


def _config(fleet: Any, case: dict[str, Any]) -> dict[str, str]:
    wanted = case.get("config", "AllAtOnce")
    if isinstance(wanted, str):
        return {"deploymentConfigName": f"CodeDeployDefault.{wanted}"}
    name = f"{fleet.application}-{wanted['type']}-{wanted['value']}"
    known = fleet.codedeploy.exceptions.DeploymentConfigAlreadyExistsException
    with contextlib.suppress(known):
        fleet.codedeploy.create_deployment_config(
            deploymentConfigName=name, minimumHealthyHosts=wanted
        )
    return {"deploymentConfigName": name}


def _replace(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {_replace(key, names): _replace(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [_replace(item, names) for item in value]
    if isinstance(value, str):
        for name, text in names.items():
            value = value.replace(name, text)
    return value


def _deploy(fleet: Any, group: str, hosts: list[str], step: dict[str, Any]) -> None:
    for host in hosts:
        for absolute, content in step.get("before", {}).items():
            _lay(fleet.path(host, absolute), content)
        for absolute in step.get("remove", []):
            fleet.path(host, absolute).unlink()
    files = dict(step.get("files", {}))
    if "appspec" in step:
        files["appspec.yml"] = step["appspec"]
    elif "spec" in step:
        files["appspec.yml"] = HEADER + step["spec"]
    settings = {
        "revision": _revision(fleet, step.get("kind", "zip"), files),
        **step.get("deploy", {}),
    }
    expect = step.get("expect", {})
    if "refused" in expect:
        with pytest.raises(ClientError) as refused:
            fleet.start(group, None, **settings)
        _check_refusal(refused.value, expect["refused"])
        return
    _check(fleet, group, hosts, fleet.deploy(group, None, **settings), expect)


def _lay(path: Path, content: Any) -> None:
    """Put a text or a link somewhere, in the place of what is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    if isinstance(content, dict):
        path.symlink_to(content["link"])
    else:
        path.write_text(content, encoding="utf-8")


def _revision(fleet: Any, kind: str, files: dict[str, Any]) -> dict[str, Any]:
    made, _, called = kind.partition(" as ")
    body = bundle(files) if made == "zip" else _tar(files, made)
    revision = fleet.revision(fleet.upload(body), called or made)
    if kind == "unnamed":
        del revision["s3Location"]["bundleType"]
    return revision


def _tar(files: dict[str, Any], kind: str) -> bytes:
    """As `bundle` makes a zip; an entry may be a `dir`, a `hard` link or a `device` as well."""
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w:gz" if kind == "tgz" else "w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            entry = content if isinstance(content, dict) else {}
            if {"dir", "hard", "device"} & set(entry):
                info.type = {"dir": tarfile.DIRTYPE, "hard": tarfile.LNKTYPE}.get(
                    next(iter(entry)), tarfile.CHRTYPE
                )
                info.mode, info.linkname, text = 0o755, entry.get("hard", ""), ""
            else:
                mode, text = read_entry(name, content)
                info.mode = stat.S_IMODE(mode)
            if "link" in entry:
                info.type, info.linkname, text = tarfile.SYMTYPE, text, ""
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return body.getvalue()


def _check_refusal(error: ClientError, expect: dict[str, str]) -> None:
    found = error.response["Error"]
    assert found["Code"] == expect["code"], found
    assert expect.get("message", "") in found["Message"]


def _check(
    fleet: Any, group: str, hosts: list[str], info: dict[str, Any], expect: dict[str, Any]
) -> None:
    deployment, fails = info["deploymentId"], expect.get("fails")
    told = [fleet.target(deployment, host) for host in hosts]
    code = expect.get("error") or ("HEALTH_CONSTRAINTS" if fails else None)
    assert info["status"] == ("Failed" if code else "Succeeded"), (info, told)
    assert info.get("errorInformation", {}).get("code") == code, (info, told)
    if "targets" in expect:
        assert [target["status"] for target in told] == expect["targets"]
    else:
        events = {event["lifecycleEventName"]: event for event in told[0]["lifecycleEvents"]}
        _check_events(events, fails, expect.get("ignored"))
    _check_log(fleet.scripts_log(group, deployment, hosts[0]), expect)
    for path, content in expect.get("host", {}).items():
        _check_path(fleet.path(hosts[0], path), content)
    for path in expect.get("not_here", []):
        assert not Path(path).exists(), f"{path} is on this machine, outside the host"


def _check_events(
    events: dict[str, dict[str, Any]], fails: dict[str, str] | None, ignored: str | None
) -> None:
    assert list(events) == EVENTS
    last = EVENTS.index(fails["event"]) if fails else len(EVENTS)
    for number, (name, event) in enumerate(events.items()):
        if number > last:
            assert event["status"] == "Skipped", event
            assert "startTime" not in event
            continue
        failed = number == last or name == ignored
        assert event["status"] == ("Failed" if failed else "Succeeded"), event
        assert event["endTime"] >= event["startTime"]
        if not failed:
            success = {
                "errorCode": "Success",
                "scriptName": "",
                "message": "Succeeded",
                "logTail": "",
            }
            assert event["diagnostics"] == success
    if fails:
        _check_diagnostics(events[fails["event"]]["diagnostics"], fails)


def _check_diagnostics(diagnostics: dict[str, str], fails: dict[str, str]) -> None:
    assert diagnostics["errorCode"] == fails.get("code", "UnknownError"), diagnostics
    assert diagnostics["scriptName"] == fails.get("script", ""), diagnostics
    assert fails["message"] in diagnostics["message"]
    assert fails.get("tail", "") in diagnostics["logTail"], diagnostics
    assert diagnostics["logTail"] == fails.get("whole_tail", diagnostics["logTail"])


def _check_log(log: str, expect: dict[str, Any]) -> None:
    start = 0
    for fragment in expect.get("log", []):
        found = log.find(fragment, start)
        assert found >= 0, f"{fragment!r} is not in scripts.log (in order):\n{log}"
        start = found + len(fragment)
    for fragment in expect.get("not_log", []):
        assert fragment not in log


def _check_path(path: Path, content: Any) -> None:
    """A text; null for a path that is not there; or `text`, `mode`, `link`."""
    if content is None:
        assert not path.exists() and not path.is_symlink(), path
        return
    wanted = content if isinstance(content, dict) else {"text": content}
    assert path.exists() or path.is_symlink(), (path, sorted(path.parent.glob("*")))
    if "text" in wanted:
        assert path.read_text(encoding="utf-8") == wanted["text"]
    if "mode" in wanted:
        assert f"{stat.S_IMODE(path.stat().st_mode):o}" == wanted["mode"], path
    if "link" in wanted:
        assert path.is_symlink() and str(path.readlink()) == wanted["link"]
    assert path.is_symlink() == ("link" in wanted)
