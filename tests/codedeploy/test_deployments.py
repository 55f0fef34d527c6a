"""Deployments over time: which hosts, one at a time, stopped, rolled back, and refused."""

from __future__ import annotations

import io
import json
import tarfile
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from tests.codedeploy.conftest import bundle, read_entry
from tests.queues import create_queue
from tests.waiting import DEADLINE_SECONDS

pytestmark = [pytest.mark.slow, pytest.mark.guests]

HEADER = "version: 0.0\nos: linux\n"
AGENT = "/opt/codedeploy-agent/deployment-root"
# A script that says it runs, and goes on when `go` is there.
HOLD = (
    'touch "$HOST_ROOT/$DEPLOYMENT_ID.runs"\nwhile ! test -e "$HOST_ROOT/go"; do sleep 0.05; done\n'
)


def _revision(text: str, destination: str, **hooks: str) -> dict[str, Any]:
    """A bundle that installs `text` as a.txt in `destination`; a hook is the text of its script."""
    files = {f"{event}.sh": script for event, script in hooks.items()}
    spec = f"files: [{{source: a.txt, destination: {destination}}}]\nhooks:\n"
    for event in hooks:
        spec += f"  {event}: [{{location: {event}.sh}}]\n"
    return {"appspec.yml": HEADER + spec, "a.txt": text, **files}


@pytest.fixture
def here() -> str:
    return f"/srv/{uuid4().hex[:8]}"


@pytest.fixture
def host(fleet: Any) -> str:
    return fleet.hosts[0]


@pytest.fixture
def launch(fleet: Any) -> Any:
    """Launch a host that goes with the test."""
    made: list[str] = []

    def _launch(**settings: Any) -> str:
        made.append(fleet.launch(**settings))
        return made[-1]

    yield _launch
    if made:
        fleet.aws.client("ec2").terminate_instances(InstanceIds=made)


def _refused(call: Callable[..., Any], **arguments: Any) -> dict[str, str]:
    with pytest.raises(ClientError) as refused:
        call(**arguments)
    return refused.value.response["Error"]


def _statuses(fleet: Any, deployment: str, host: str) -> list[str]:
    return [event["status"] for event in fleet.events(deployment, host).values()]


# Which hosts


def test_applications_and_groups_have_tags_of_their_own(fleet: Any) -> None:
    # "TagResource", "ListTagsForResource" in the CodeDeploy API Reference
    def tags(arn: str) -> dict[str, str]:
        listed = fleet.codedeploy.list_tags_for_resource(ResourceArn=arn)["Tags"]
        return {tag["Key"]: tag["Value"] for tag in listed}

    group = fleet.group(tags=[{"Key": "team", "Value": "shop"}])
    place = "arn:aws:codedeploy:us-east-1:123456789012"
    application = f"{place}:application:{fleet.application}"
    arn = f"{place}:deploymentgroup:{fleet.application}/{group}"
    assert tags(arn) == {"team": "shop"}
    fleet.codedeploy.tag_resource(ResourceArn=arn, Tags=[{"Key": "cost", "Value": "1"}])
    fleet.codedeploy.untag_resource(ResourceArn=arn, TagKeys=["team"])
    assert tags(arn) == {"cost": "1"}
    assert tags(application) == {}
    with pytest.raises(ClientError, match="DeploymentGroupDoesNotExistException"):
        tags(f"{arn}-none")
    with pytest.raises(ClientError, match="ArnNotSupportedException"):
        tags(f"{place}:deploymentconfig:none")


def test_tags_that_no_instance_has(fleet: Any) -> None:
    # "Error codes for AWS CodeDeploy", NO_INSTANCES
    filters = [{"Key": uuid4().hex, "Type": "KEY_ONLY"}]
    for group in (fleet.group(ec2TagFilters=filters), fleet.group()):
        info = fleet.deploy(group, {"appspec.yml": HEADER})
        assert info["status"] == "Failed"
        assert info["errorInformation"]["code"] == "NO_INSTANCES"
        assert "no instances were found" in info["errorInformation"]["message"]
        assert "deploymentOverview" not in info


def test_filters_choose_the_hosts(fleet: Any, launch: Any) -> None:
    # "Tagging instances for deployment groups in CodeDeploy"
    key, other = f"k{uuid4().hex[:6]}", f"o{uuid4().hex[:6]}"
    one = launch(**{key: "1", other: f"{other}-a"})
    two = launch(**{key: "2", other: f"{other}-b"})

    def _filter(kind: str, name: str = "", value: str = "") -> dict[str, str]:
        both = {"Key": name, "Value": value, "Type": kind}
        return {item: text for item, text in both.items() if text}

    exact = _filter("KEY_AND_VALUE", key, "1")
    cases: list[tuple[dict[str, Any], set[str]]] = [
        ({"ec2TagFilters": [_filter("KEY_ONLY", key)]}, {one, two}),
        ({"ec2TagFilters": [_filter("VALUE_ONLY", value=f"{other}-b")]}, {two}),
        ({"ec2TagFilters": [exact]}, {one}),
        ({"ec2TagFilters": [exact, _filter("KEY_AND_VALUE", key, "2")]}, {one, two}),
        ({"ec2TagSet": {"ec2TagSetList": [[_filter("KEY_ONLY", key)], [exact]]}}, {one}),
        (
            {
                "ec2TagSet": {
                    "ec2TagSetList": [[exact], [_filter("KEY_AND_VALUE", other, f"{other}-b")]]
                }
            },
            set(),
        ),
    ]
    for settings, expected in cases:
        info = fleet.deploy(fleet.group(**settings), {"appspec.yml": HEADER})
        found = fleet.codedeploy.list_deployment_targets(deploymentId=info["deploymentId"])
        assert set(found["targetIds"]) == expected, settings


def test_a_stopped_host_is_not_deployed_to(fleet: Any, launch: Any) -> None:
    # "CodeDeploy instance health" and "Tagging instances" disagree; unsettled
    one, two = launch(), launch()
    fleet.aws.client("ec2").stop_instances(InstanceIds=[one])
    info = fleet.deploy(fleet.group(one, two), {"appspec.yml": HEADER})
    assert info["status"] == "Succeeded"
    assert info["deploymentOverview"]["Succeeded"] == 1
    found = fleet.codedeploy.list_deployment_instances(deploymentId=info["deploymentId"])
    assert found["instancesList"] == [two]


def test_a_host_without_a_profile_cannot_download(fleet: Any, launch: Any) -> None:
    # "Step 4: Create an IAM instance profile for your Amazon EC2 instances"
    bare = launch(profile=False)
    info = fleet.deploy(fleet.group(bare), {"appspec.yml": HEADER})
    assert info["errorInformation"]["code"] == "HEALTH_CONSTRAINTS"
    events = fleet.events(info["deploymentId"], bare)
    assert events["ApplicationStop"]["status"] == "Succeeded"
    failed = events["DownloadBundle"]["diagnostics"]
    assert failed["errorCode"] == "UnknownError"
    assert "Missing credentials" in failed["message"]


def test_a_service_role_that_does_not_trust_codedeploy(fleet: Any, host: str) -> None:
    # "Error codes for AWS CodeDeploy", IAM_ROLE_PERMISSIONS
    group = fleet.group(host, serviceRoleArn=fleet.host_role)
    info = fleet.deploy(group, {"appspec.yml": HEADER})
    assert info["errorInformation"]["code"] == "IAM_ROLE_PERMISSIONS"


def test_the_unhealthy_come_first(fleet: Any, here: str) -> None:
    # "CodeDeploy instance health"
    last = fleet.hosts[-1]
    group = fleet.group(*fleet.hosts)
    bad = fleet.deploy(group, _revision("1", here, AfterInstall=f"test $INSTANCE_ID != {last}"))
    assert bad["deploymentOverview"] | {"Succeeded": 2, "Failed": 1} == bad["deploymentOverview"]
    worse = fleet.deploy(
        group,
        _revision("2", here, AfterInstall="false"),
        deploymentConfigName="CodeDeployDefault.OneAtATime",
    )
    assert fleet.target(worse["deploymentId"], last)["status"] == "Failed"
    assert worse["deploymentOverview"]["Skipped"] == 2
    assert worse["errorInformation"]["code"] == "HEALTH_CONSTRAINTS"


def test_only_outdated_hosts(fleet: Any, launch: Any, here: str) -> None:
    # API reference of CreateDeployment, updateOutdatedInstancesOnly
    tag = uuid4().hex
    first = launch(**{tag: ""})
    group = fleet.group(ec2TagFilters=[{"Key": tag, "Type": "KEY_ONLY"}])
    before = fleet.deploy(group, _revision("1", here))
    second = launch(**{tag: ""})
    again = fleet.deploy(group, None, revision=before["revision"], updateOutdatedInstancesOnly=True)
    found = fleet.codedeploy.list_deployment_targets(deploymentId=again["deploymentId"])
    assert found["targetIds"] == [second] != [first]


# Hosts


def test_a_host_has_an_address_and_a_port_while_it_runs(fleet: Any, launch: Any) -> None:
    host, ec2 = launch(), fleet.aws.client("ec2")

    def _see() -> dict[str, Any]:
        found = ec2.describe_instances(InstanceIds=[host])["Reservations"]
        return found[0]["Instances"][0]

    seen = _see()
    assert (seen["PublicIpAddress"], seen["PublicDnsName"]) == ("127.0.0.1", "localhost")
    [port] = [tag["Value"] for tag in seen["Tags"] if tag["Key"] == "labkit:port"]
    assert 1024 < int(port) < 65536
    info = fleet.deploy(
        fleet.group(host),
        _revision("x", "/srv", AfterInstall='echo "$PORT" > "$HOST_ROOT/port"'),
    )
    assert info["status"] == "Succeeded"
    assert fleet.path(host, "/port").read_text() == f"{port}\n"
    ec2.stop_instances(InstanceIds=[host])
    assert not _see().get("PublicIpAddress")
    assert fleet.path(host, "/port").exists()
    ec2.start_instances(InstanceIds=[host])
    assert _see()["PublicIpAddress"] == "127.0.0.1"


@pytest.mark.parametrize("end", ["stop_instances", "terminate_instances"])
def test_a_host_that_ends_takes_its_processes_along(fleet: Any, launch: Any, end: str) -> None:
    host = launch()
    daemon = 'sleep 300 >/dev/null 2>&1 </dev/null &\necho $! > "$HOST_ROOT/pid"'
    info = fleet.deploy(fleet.group(host), _revision("x", "/srv", ApplicationStart=daemon))
    assert info["status"] == "Succeeded"
    pid = int(fleet.path(host, "/pid").read_text())
    assert fleet.runs(host, pid)
    getattr(fleet.aws.client("ec2"), end)(InstanceIds=[host])
    assert not fleet.runs(host, pid)
    assert fleet.path(host).exists() == (end == "stop_instances")


@pytest.mark.parametrize("end", ["stop_instances", "terminate_instances"])
def test_a_host_that_ends_in_the_middle(fleet: Any, launch: Any, end: str) -> None:
    host = launch()
    deployment = fleet.start(fleet.group(host), _revision("x", "/srv", BeforeInstall=HOLD))
    fleet.wait_for_event(deployment, host, "BeforeInstall")
    getattr(fleet.aws.client("ec2"), end)(InstanceIds=[host])
    info = fleet.wait(deployment)
    assert info["errorInformation"]["code"] == "HEALTH_CONSTRAINTS"
    succeeded, failed, skipped = ["Succeeded"] * 2, ["Failed"], ["Skipped"] * 4
    assert _statuses(fleet, deployment, host) == succeeded + failed + skipped
    assert fleet.path(host).exists() == (end == "stop_instances")


# Bundles


def _tar(files: dict[str, Any], mode: Any) -> bytes:
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode=mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            permissions, text = read_entry(name, content)
            member.mode, member.size = permissions & 0o777, len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return body.getvalue()


@pytest.mark.parametrize(("kind", "mode"), [("tar", "w"), ("tgz", "w:gz")])
def test_tars_too(fleet: Any, host: str, here: str, kind: str, mode: str) -> None:
    key = fleet.upload(_tar(_revision(kind, here, AfterInstall="true"), mode))
    info = fleet.deploy(fleet.group(host), None, revision=fleet.revision(key, kind))
    assert info["status"] == "Succeeded"
    assert fleet.path(host, f"{here}/a.txt").read_text() == kind


def _download_error(fleet: Any, host: str, revision: dict[str, Any]) -> str:
    info = fleet.deploy(fleet.group(host), None, revision=revision)
    assert info["status"] == "Failed"
    failed = fleet.events(info["deploymentId"], host)["DownloadBundle"]
    assert failed["status"] == "Failed"
    assert failed["diagnostics"]["errorCode"] == "UnknownError"
    return failed["diagnostics"]["message"]


def test_bundles_that_cannot_be_downloaded(fleet: Any, host: str) -> None:
    # E19; "Error codes", what is only found on the host
    key = fleet.upload(bundle({"appspec.yml": HEADER}))
    wrong = fleet.revision(key, eTag='"0123"')
    assert "Expected deployment artifact bundle etag" in _download_error(fleet, host, wrong)
    assert "NoSuchKey" in _download_error(fleet, host, fleet.revision("missing.zip"))
    text = fleet.revision(fleet.upload(b"no archive"))
    assert "not a readable zip" in _download_error(fleet, host, text)
    outside = fleet.revision(fleet.upload(bundle({"../../x": "x", "appspec.yml": HEADER})))
    assert "leads outside" in _download_error(fleet, host, outside)


def test_an_etag_matches_with_and_without_quotes(fleet: Any, host: str) -> None:
    # E19
    key = fleet.upload(bundle({"appspec.yml": HEADER}))
    etag = fleet.aws.client("s3").head_object(Bucket=fleet.bucket, Key=key)["ETag"]
    for given in (etag, etag.strip('"')):
        info = fleet.deploy(fleet.group(host), None, revision=fleet.revision(key, eTag=given))
        assert info["status"] == "Succeeded"


def test_a_version_of_a_bundle(fleet: Any, host: str, here: str) -> None:
    # D13
    s3, bucket = fleet.aws.client("s3"), f"versioned-{uuid4().hex[:8]}"
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    old, _ = (
        s3.put_object(
            Bucket=bucket,
            Key="b",
            Body=bundle(_revision(text, here, AfterInstall="echo $BUNDLE_VERSION")),
        )["VersionId"]
        for text in ("old", "new")
    )
    group = fleet.group(host)
    location = {"bucket": bucket, "key": "b", "bundleType": "zip"}
    for more, text in ((dict(version=old), "old"), ({}, "new")):
        revision = {"revisionType": "S3", "s3Location": {**location, **more}}
        info = fleet.deploy(group, None, revision=revision)
        assert info["status"] == "Succeeded"
        assert fleet.path(host, f"{here}/a.txt").read_text() == text
        log = fleet.scripts_log(group, info["deploymentId"], host)
        assert (f"[stdout]{old}\n" in log) == bool(more)


# What stays on the host


def test_five_revisions_stay(fleet: Any, host: str) -> None:
    # E15, E16
    group = fleet.group(host)
    revision = fleet.revision(fleet.upload(bundle({"appspec.yml": HEADER})))
    made = [fleet.deploy(group, None, revision=revision)["deploymentId"] for _ in range(7)]
    kept = fleet.path(host, f"{AGENT}/{fleet.group_ids[group]}")
    assert sorted(path.name for path in kept.iterdir()) == sorted(made[-5:])


def test_the_last_installed_revision_is_gone(fleet: Any, host: str, here: str) -> None:
    # E6
    group = fleet.group(host)
    first = fleet.deploy(group, _revision("1", here))["deploymentId"]
    appspec = f"{AGENT}/{fleet.group_ids[group]}/{first}/deployment-archive/appspec.yml"
    fleet.path(host, appspec).unlink()
    info = fleet.deploy(group, _revision("2", here))
    stop = fleet.events(info["deploymentId"], host)["ApplicationStop"]
    assert stop["status"] == "Failed"
    assert "did not find an AppSpec file" in stop["diagnostics"]["message"]
    info = fleet.deploy(group, _revision("2", here), ignoreApplicationStopFailures=True)
    assert info["status"] == "Succeeded"
    assert info["ignoreApplicationStopFailures"] is True


def test_a_clean_up_list_that_was_cut(fleet: Any, host: str, here: str) -> None:
    # B12
    group = fleet.group(host)
    fleet.deploy(group, _revision("1", here))
    record = fleet.path(host, f"{AGENT}/deployment-instructions/{fleet.group_ids[group]}-cleanup")
    assert record.read_text().endswith(f"{here}/a.txt\n")
    record.write_text(record.read_text().rstrip("\n"))
    info = fleet.deploy(group, _revision("2", here))
    failed = fleet.events(info["deploymentId"], host)["Install"]["diagnostics"]
    assert "already exists at this location" in failed["message"]


def test_a_failed_deployment_leaves_what_it_did(fleet: Any, host: str, here: str) -> None:
    # "Redeploy and roll back a deployment"; the group's revision stays the last good one
    group = fleet.group(host)
    good = fleet.deploy(group, _revision("good", here))
    assert "previousRevision" not in good
    bad = fleet.deploy(group, _revision("bad", here, ValidateService="false"))
    assert bad["previousRevision"] == good["revision"]
    assert fleet.path(host, f"{here}/a.txt").read_text() == "bad"
    shown = fleet.codedeploy.get_deployment_group(
        applicationName=fleet.application, deploymentGroupName=group
    )["deploymentGroupInfo"]
    assert shown["targetRevision"] == good["revision"]
    assert shown["lastSuccessfulDeployment"]["deploymentId"] == good["deploymentId"]
    assert shown["lastAttemptedDeployment"]["deploymentId"] == bad["deploymentId"]
    assert shown["lastAttemptedDeployment"]["status"] == "Failed"


# One at a time, stopped, rolled back


def test_a_second_deployment_is_refused_while_one_is_active(fleet: Any, launch: Any) -> None:
    # "CodeDeploy limits"
    host = launch()
    group = fleet.group(host)
    first = fleet.start(group, _revision("x", "/srv", BeforeInstall=HOLD))
    fleet.wait_for_event(first, host, "BeforeInstall")
    active = fleet.codedeploy.list_deployments(
        applicationName=fleet.application,
        deploymentGroupName=group,
        includeOnlyStatuses=["InProgress"],
    )
    assert active["deployments"] == [first]
    with pytest.raises(ClientError) as refused:
        fleet.start(group, {"appspec.yml": HEADER})
    assert refused.value.response["Error"] == {
        "Code": "DeploymentLimitExceededException",
        "Message": f"The Deployment Group '{group}' already has an active Deployment '{first}'",
    }
    fleet.path(host, "/go").touch()
    assert fleet.wait(first)["status"] == "Succeeded"
    assert fleet.deploy(group, {"appspec.yml": HEADER})["status"] == "Succeeded"


def _stop(fleet: Any, host: str, group: str, here: str, **settings: Any) -> str:
    """Stop a deployment in its BeforeInstall; returns its id when it is over."""
    fleet.path(host, "/go").unlink(missing_ok=True)
    deployment = fleet.start(group, _revision("stopped", here, BeforeInstall=HOLD))
    fleet.wait_for_event(deployment, host, "BeforeInstall")
    answer = fleet.codedeploy.stop_deployment(deploymentId=deployment, **settings)
    assert answer["status"] == "Pending"
    fleet.path(host, "/go").touch()
    assert fleet.wait(deployment)["status"] == "Stopped"
    return deployment


def test_a_deployment_is_stopped(fleet: Any, launch: Any, here: str) -> None:
    # "Stop a deployment with CodeDeploy": the event that runs is not interrupted
    host = launch()
    group = fleet.group(host)
    deployment = _stop(fleet, host, group, here)
    info = fleet.get(deployment)
    assert info["errorInformation"]["code"] == "MANUAL_STOP"
    assert "rollbackInfo" not in info
    assert _statuses(fleet, deployment, host) == ["Succeeded"] * 3 + ["Skipped"] * 4
    assert not fleet.path(host, f"{here}/a.txt").exists()
    refused = _refused(fleet.codedeploy.stop_deployment, deploymentId=deployment)
    assert refused["Code"] == "DeploymentAlreadyCompletedException"


def test_a_stop_leaves_the_hosts_that_have_to_wait(fleet: Any, launch: Any, here: str) -> None:
    first, second = sorted([launch(), launch()])
    group = fleet.group(first, second, deploymentConfigName="CodeDeployDefault.OneAtATime")
    info = fleet.get(_stop(fleet, first, group, here))
    assert fleet.target(info["deploymentId"], second)["status"] == "Skipped"
    assert info["deploymentOverview"]["Skipped"] == 1
    assert fleet.path(second, "/srv").exists() is False


def test_a_stop_that_asks_for_a_rollback(fleet: Any, launch: Any, here: str) -> None:
    # API reference of StopDeployment, autoRollbackEnabled
    host = launch()
    group = fleet.group(host)
    fleet.deploy(group, _revision("good", here))
    stopped = fleet.get(_stop(fleet, host, group, here, autoRollbackEnabled=True))
    back = fleet.wait(stopped["rollbackInfo"]["rollbackDeploymentId"])
    assert (back["status"], back["creator"]) == ("Succeeded", "codeDeployRollback")
    assert fleet.path(host, f"{here}/a.txt").read_text() == "good"


ON_FAILURE = {"enabled": True, "events": ["DEPLOYMENT_FAILURE"]}


def test_a_rollback_is_a_new_deployment_of_the_last_good_revision(
    fleet: Any, host: str, here: str
) -> None:
    # "Redeploy and roll back a deployment with CodeDeploy"
    group = fleet.group(host, autoRollbackConfiguration=ON_FAILURE)
    good = fleet.deploy(group, _revision("good", here))
    bad = fleet.deploy(group, _revision("bad", here, ValidateService="false"))
    assert bad["status"] == "Failed"
    back = fleet.wait(bad["rollbackInfo"]["rollbackDeploymentId"])
    assert (back["status"], back["creator"]) == ("Succeeded", "codeDeployRollback")
    assert back["revision"] == good["revision"]
    assert back["rollbackInfo"]["rollbackTriggeringDeploymentId"] == bad["deploymentId"]
    assert fleet.path(host, f"{here}/a.txt").read_text() == "good"


def test_no_rollback_without_a_success(fleet: Any, host: str, here: str) -> None:
    group = fleet.group(host, autoRollbackConfiguration=ON_FAILURE)
    info = fleet.deploy(group, _revision("bad", here, ValidateService="false"))
    assert info["status"] == "Failed"
    assert "rollbackDeploymentId" not in info["rollbackInfo"]
    assert info["rollbackInfo"]["rollbackMessage"]


def test_a_deployment_says_no_to_its_groups_rollback(fleet: Any, host: str, here: str) -> None:
    # API reference of CreateDeployment, autoRollbackConfiguration
    group = fleet.group(host, autoRollbackConfiguration=ON_FAILURE)
    fleet.deploy(group, _revision("good", here))
    info = fleet.deploy(
        group,
        _revision("bad", here, ValidateService="false"),
        autoRollbackConfiguration={"enabled": False, "events": []},
    )
    assert info["status"] == "Failed"
    assert "rollbackInfo" not in info


def test_a_rollback_that_fails_is_the_last(fleet: Any, host: str, here: str) -> None:
    # unsettled
    group = fleet.group(host, autoRollbackConfiguration=ON_FAILURE)
    once = 'test ! -e "$HOST_ROOT/once" && touch "$HOST_ROOT/once"'
    fleet.deploy(group, _revision("good", here, ValidateService=once))
    bad = fleet.deploy(group, _revision("bad", here, ValidateService="false"))
    back = fleet.wait(bad["rollbackInfo"]["rollbackDeploymentId"])
    assert back["status"] == "Failed"
    assert "rollbackDeploymentId" not in back["rollbackInfo"]


# Events


def test_events_of_a_deployment_reach_a_rule(fleet: Any, host: str, here: str) -> None:
    # "Monitoring deployments with Amazon CloudWatch Events": one event for each state, not for
    # each lifecycle event
    events, sqs = fleet.aws.client("events"), fleet.aws.client("sqs")
    group = fleet.group(host)
    url, arn = create_queue(fleet.aws, group, "events.amazonaws.com")
    pattern = {"source": ["aws.codedeploy"], "detail": {"deploymentGroup": [group]}}
    events.put_rule(Name=group, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=group, Targets=[{"Id": "queue", "Arn": arn}])
    info = fleet.deploy(group, _revision("x", here, ValidateService="false"))
    found: list[dict[str, Any]] = []
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline and len(found) < 4:
        answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
        found += [json.loads(message["Body"]) for message in answer.get("Messages", [])]
    events.remove_targets(Rule=group, Ids=["queue"])
    events.delete_rule(Name=group)
    kinds = ("Deployment", "Instance")
    assert sorted((event["detail-type"], event["detail"]["state"]) for event in found) == [
        (f"CodeDeploy {kind} State-change Notification", state)
        for kind in kinds
        for state in ("FAILURE", "START")
    ]
    for event in found:
        assert event["detail"]["deploymentId"] == info["deploymentId"]
        assert event["detail"]["instanceGroupId"] == fleet.group_ids[group]
        assert event["resources"][1].endswith(f":deploymentgroup:{fleet.application}/{group}")
        if event["detail-type"].startswith("CodeDeploy Instance"):
            assert event["detail"]["instanceId"] == host
            assert event["resources"][2].endswith(f":instance/{host}")


# What the service refuses


def test_what_does_not_exist(fleet: Any, host: str) -> None:
    # API reference, errors of each operation
    api, group = fleet.codedeploy, fleet.group(host)
    revision = fleet.revision("b.zip")
    asked = {"applicationName": fleet.application, "deploymentGroupName": group}
    nothing = {**asked, "revision": revision}
    cases: list[tuple[Any, dict[str, Any], str]] = [
        (api.get_application, {"applicationName": "no"}, "ApplicationDoesNotExist"),
        (api.create_deployment, {**nothing, "applicationName": "no"}, "ApplicationDoesNotExist"),
        (
            api.create_deployment,
            {**nothing, "deploymentGroupName": "no"},
            "DeploymentGroupDoesNotExist",
        ),
        (
            api.create_deployment,
            {**nothing, "deploymentConfigName": "no"},
            "DeploymentConfigDoesNotExist",
        ),
        (api.create_deployment, asked, "RevisionRequired"),
        (
            api.create_deployment,
            {"applicationName": fleet.application, "revision": revision},
            "DeploymentGroupNameRequired",
        ),
        (api.get_deployment, {"deploymentId": "d-123456789"}, "DeploymentDoesNotExist"),
        (api.stop_deployment, {"deploymentId": "d-123456789"}, "DeploymentDoesNotExist"),
        (
            api.get_application_revision,
            {"applicationName": fleet.application, "revision": revision},
            "RevisionDoesNotExist",
        ),
        (
            api.get_deployment_config,
            {"deploymentConfigName": "no"},
            "DeploymentConfigDoesNotExist",
        ),
    ]
    for call, arguments, code in cases:
        assert _refused(call, **arguments)["Code"] == f"{code}Exception", (call, arguments)


def test_what_exists_already_or_cannot_be(fleet: Any, host: str) -> None:
    # API reference, errors of each operation
    api, group = fleet.codedeploy, fleet.group(host)
    both = {
        "ec2TagFilters": [{"Key": "a", "Type": "KEY_ONLY"}],
        "ec2TagSet": {"ec2TagSetList": [[{"Key": "b", "Type": "KEY_ONLY"}]]},
    }
    named = {"applicationName": fleet.application, "serviceRoleArn": fleet.service_role}
    healthy = {"type": "HOST_COUNT", "value": 1}
    cases: list[tuple[Any, dict[str, Any], str]] = [
        (
            api.create_application,
            {"applicationName": fleet.application},
            "ApplicationAlreadyExists",
        ),
        (
            api.create_deployment_group,
            {**named, "deploymentGroupName": group},
            "DeploymentGroupAlreadyExists",
        ),
        (
            api.create_deployment_group,
            {**named, "deploymentGroupName": "both", **both},
            "InvalidEC2TagCombination",
        ),
        (
            api.create_deployment_config,
            {"deploymentConfigName": "CodeDeployDefault.Mine", "minimumHealthyHosts": healthy},
            "InvalidDeploymentConfigName",
        ),
        (
            api.create_deployment_config,
            {
                "deploymentConfigName": "CodeDeployDefault.OneAtATime",
                "minimumHealthyHosts": healthy,
            },
            "DeploymentConfigAlreadyExists",
        ),
        (
            api.create_deployment_config,
            {
                "deploymentConfigName": "too-much",
                "minimumHealthyHosts": {"type": "FLEET_PERCENT", "value": 101},
            },
            "InvalidMinimumHealthyHostValue",
        ),
    ]
    for call, arguments, code in cases:
        assert _refused(call, **arguments)["Code"] == f"{code}Exception", (call, arguments)


@pytest.mark.parametrize(
    "tag",
    [{"Key": "a", "Type": "VALUE_ONLY"}, {"Value": "a", "Type": "KEY_ONLY"}, {"Value": "a"}],
)
def test_a_tag_filter_that_lacks_what_its_type_needs(fleet: Any, tag: dict[str, str]) -> None:
    # API reference of EC2TagFilter; InvalidEC2TagException
    refused = _refused(
        fleet.codedeploy.create_deployment_group,
        applicationName=fleet.application,
        deploymentGroupName="lacking",
        serviceRoleArn=fleet.service_role,
        ec2TagFilters=[tag],
    )
    assert refused["Code"] == "InvalidEC2TagException"


def test_revisions_are_looked_up_together(fleet: Any, host: str) -> None:
    # "BatchGetApplicationRevisions" in the CodeDeploy API Reference
    info = fleet.deploy(fleet.group(host), {"appspec.yml": HEADER})
    other = fleet.revision("never")
    found = fleet.codedeploy.batch_get_application_revisions(
        applicationName=fleet.application, revisions=[info["revision"], other]
    )
    assert [one["revisionLocation"] for one in found["revisions"]] == [info["revision"]]
    assert "not registered" in found["errorMessage"]


def test_there_are_no_tokens_of_github_accounts(fleet: Any) -> None:
    assert fleet.codedeploy.list_git_hub_account_token_names()["tokenNameList"] == []
    missing = fleet.codedeploy.exceptions.GitHubAccountTokenDoesNotExistException
    with pytest.raises(missing):
        fleet.codedeploy.delete_git_hub_account_token(tokenName="mine")
