"""On-premises instances: registered, tagged, deployed to, deregistered.

Sources are pages of the CodeDeploy User Guide ("Working with on-premises instances for CodeDeploy")
and of the API Reference; the AWS CLI's own commands do what they do on AWS.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from tests.codedeploy.conftest import Fleet
from tests.roles import create_role
from tests.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.guests]

SITE = {
    "appspec.yml": (
        "version: 0.0\nos: linux\n"
        "files: [{source: page, destination: /srv}]\n"
        "hooks: {ApplicationStart: [{location: start.sh}]}\n"
    ),
    "page": "hello",
    "start.sh": (
        'env >"$HOST_ROOT/srv/environment"\n'
        "python3 -m http.server $PORT --bind 127.0.0.1 >/dev/null 2>&1 &\n"
    ),
}


class Office:
    """Machines that are registered, and a user of IAM for each."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet, self.codedeploy, self.iam = fleet, fleet.codedeploy, fleet.aws.client("iam")
        self.tag = {"Key": "Office", "Value": uuid4().hex[:8]}
        self.names: list[str] = []

    def user(self, name: str, *, key: bool = True) -> str:
        arn = self.iam.create_user(UserName=name)["User"]["Arn"]
        if key:
            self.iam.create_access_key(UserName=name)
        policy = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:Get*","Resource":"*"}]}'
        self.iam.put_user_policy(UserName=name, PolicyName="agent", PolicyDocument=policy)
        return arn

    def register(self, *, key: bool = True) -> str:
        """Register a machine and tag it; returns its name."""
        name = f"pc-{uuid4().hex[:8]}"
        arn = self.user(name, key=key)
        self.codedeploy.register_on_premises_instance(instanceName=name, iamUserArn=arn)
        self.names.append(name)
        self.codedeploy.add_tags_to_on_premises_instances(tags=[self.tag], instanceNames=[name])
        return name

    def group(self, **settings: Any) -> str:
        filters = [{**self.tag, "Type": "KEY_AND_VALUE"}]
        return self.fleet.group(**{"onPremisesInstanceTagFilters": filters, **settings})

    def get(self, name: str) -> dict[str, Any]:
        return self.codedeploy.get_on_premises_instance(instanceName=name)["instanceInfo"]

    def root(self, name: str) -> Path:
        return self.fleet.path(self.get(name)["instanceArn"].rpartition("/")[2])


@pytest.fixture
def office(fleet: Fleet) -> Iterator[Office]:
    made = Office(fleet)
    yield made
    for name in made.names:
        fleet.codedeploy.deregister_on_premises_instance(instanceName=name)


def code_of(call: Callable[..., Any], **arguments: Any) -> str:
    with pytest.raises(ClientError) as refused:
        call(**arguments)
    return refused.value.response["Error"]["Code"]


def test_a_deployment_goes_to_the_machines_that_the_tags_find(office: Office) -> None:
    # "Tagging instances for deployment groups in CodeDeploy"
    one, two = sorted([office.register(), office.register()])
    other = office.register()
    office.codedeploy.remove_tags_from_on_premises_instances(
        tags=[office.tag], instanceNames=[other]
    )
    fleet = office.fleet
    done = fleet.deploy(office.group(), SITE)
    assert done["status"] == "Succeeded", done
    listed = fleet.codedeploy.list_deployment_targets(deploymentId=done["deploymentId"])
    assert sorted(listed["targetIds"]) == [one, two]
    target = fleet.target(done["deploymentId"], one)
    assert target["targetArn"] == office.get(one)["instanceArn"]
    assert (office.root(one) / "srv" / "page").read_text() == "hello"


def test_the_site_answers_at_its_port_and_ends_with_the_registration(office: Office) -> None:
    name = office.register()
    assert office.fleet.deploy(office.group(), SITE)["status"] == "Succeeded"
    root = office.root(name)
    told = dict(
        line.split("=", 1)
        for line in (root / "srv" / "environment").read_text().splitlines()
        if "=" in line
    )
    tags = {tag["Key"]: tag["Value"] for tag in office.get(name)["tags"]}
    assert told["PORT"] == tags["labkit:port"]
    keys = office.iam.list_access_keys(UserName=name)["AccessKeyMetadata"]
    assert told["AWS_ACCESS_KEY_ID"] == keys[0]["AccessKeyId"]
    office.codedeploy.deregister_on_premises_instance(instanceName=name)
    eventually(lambda: not root.exists())


def test_deployment_groups_mix_machines_and_instances(office: Office) -> None:
    # "Tagging instances for deployment groups in CodeDeploy": Amazon EC2 tags and on-premises tags
    name, fleet = office.register(), office.fleet
    group = office.group(
        ec2TagFilters=[{"Key": "Name", "Value": fleet.names[fleet.hosts[0]], "Type": "KEY_AND_VALUE"}]
    )  # fmt: skip
    done = fleet.deploy(group, {"appspec.yml": "version: 0.0\nos: linux\n"})
    assert done["deploymentOverview"]["Succeeded"] == 2
    listed = fleet.codedeploy.list_deployment_targets(deploymentId=done["deploymentId"])
    assert sorted(listed["targetIds"]) == sorted([name, fleet.hosts[0]])


def test_every_list_of_a_tag_set_has_to_match(office: Office) -> None:
    # "OnPremisesTagSet" in the API Reference
    one, _ = office.register(), office.register()
    floor = {"Key": "Floor", "Value": "3"}
    office.codedeploy.add_tags_to_on_premises_instances(tags=[floor], instanceNames=[one])
    lists = [[{**office.tag, "Type": "KEY_AND_VALUE"}], [{"Key": "Floor", "Type": "KEY_ONLY"}]]
    filters = {
        "onPremisesTagSet": {"onPremisesTagSetList": lists},
        "onPremisesInstanceTagFilters": [],
    }
    group = office.group(**filters)
    done = office.fleet.deploy(group, {"appspec.yml": "version: 0.0\nos: linux\n"})
    listed = office.codedeploy.list_deployment_targets(deploymentId=done["deploymentId"])
    assert listed["targetIds"] == [one]
    found = office.codedeploy.get_deployment_group(
        applicationName=office.fleet.application, deploymentGroupName=group
    )["deploymentGroupInfo"]
    assert found["onPremisesTagSet"] == filters["onPremisesTagSet"]


@pytest.mark.parametrize("deactivated", [False, True])
def test_a_machine_without_credentials_cannot_fetch_its_revision(
    office: Office, deactivated: bool
) -> None:
    # "Register an on-premises instance": the user's access key
    name = office.register(key=deactivated)
    if deactivated:
        [key] = office.iam.list_access_keys(UserName=name)["AccessKeyMetadata"]
        office.iam.update_access_key(
            UserName=name, AccessKeyId=key["AccessKeyId"], Status="Inactive"
        )
    done = office.fleet.deploy(office.group(), SITE)
    assert done["status"] == "Failed"
    event = office.fleet.events(done["deploymentId"], name)["DownloadBundle"]
    assert event["status"] == "Failed"
    assert "Missing credentials" in event["diagnostics"]["message"]


def test_a_machine_with_an_iam_session_uses_its_newest_credentials(office: Office) -> None:
    # "Use the register-on-premises-instance command (IAM Session ARN)"
    fleet, name = office.fleet, f"pc-{uuid4().hex[:8]}"
    account = fleet.aws.client("sts").get_caller_identity()["Account"]
    role = create_role(fleet.aws, name, account)
    session = f"arn:aws:sts::{account}:assumed-role/{name}/{name}"
    office.codedeploy.register_on_premises_instance(instanceName=name, iamSessionArn=session)
    office.names.append(name)
    office.codedeploy.add_tags_to_on_premises_instances(tags=[office.tag], instanceNames=[name])
    group = office.group()
    assert fleet.deploy(group, SITE)["status"] == "Failed"  # nobody has taken the session yet
    taken = fleet.aws.client("sts").assume_role(RoleArn=role, RoleSessionName=name)
    assert taken["AssumedRoleUser"]["Arn"] == session
    done = fleet.deploy(group, SITE)
    assert done["status"] == "Succeeded", fleet.events(done["deploymentId"], name)
    told = (office.root(name) / "srv" / "environment").read_text()
    assert f"AWS_SESSION_TOKEN={taken['Credentials']['SessionToken']}" in told


def test_a_deregistered_machine_is_listed_untagged_and_left_out(office: Office) -> None:
    # "Automatically deregister an on-premises instance": its tags are removed
    name = office.register()
    group = office.group()
    office.codedeploy.deregister_on_premises_instance(instanceName=name)
    found = office.get(name)
    assert found["deregisterTime"] > found["registerTime"]
    assert found["tags"] == []
    for status, there in (("Registered", False), ("Deregistered", True), (None, True)):
        asked = {"registrationStatus": status} if status else {}
        pages = office.codedeploy.get_paginator("list_on_premises_instances").paginate(**asked)
        assert (name in [one for page in pages for one in page["instanceNames"]]) is there
    done = office.fleet.deploy(group, SITE)
    assert done["errorInformation"]["code"] == "NO_INSTANCES"
    assert (
        code_of(
            office.codedeploy.add_tags_to_on_premises_instances,
            tags=[office.tag],
            instanceNames=[name],
        )
        == "InstanceNotRegisteredException"
    )
    office.codedeploy.register_on_premises_instance(
        instanceName=name, iamUserArn=found["iamUserArn"]
    )
    assert "deregisterTime" not in office.get(name)


def test_a_machine_that_goes_away_in_the_middle(office: Office) -> None:
    # "Troubleshoot EC2/On-Premises deployment issues": the agent does not answer any more
    name, fleet = office.register(), office.fleet
    files = {**SITE, "start.sh": "sleep 60\n"}
    deployment = fleet.start(office.group(), files)
    fleet.wait_for_event(deployment, name, "ApplicationStart")
    office.codedeploy.deregister_on_premises_instance(instanceName=name)
    done = fleet.wait(deployment)
    assert done["status"] == "Failed"
    assert fleet.events(deployment, name)["ApplicationStart"]["status"] == "Failed"


def test_the_tags_that_stop_an_agent_and_fill_a_disk_work_here_too(office: Office) -> None:
    name, fleet = office.register(), office.fleet
    stopped = [{"Key": "labkit:agent", "Value": "stopped"}]
    office.codedeploy.add_tags_to_on_premises_instances(tags=stopped, instanceNames=[name])
    deployment = fleet.start(office.group(), SITE)
    fleet.wait_for_event(deployment, name, "ApplicationStop")
    assert fleet.get(deployment)["status"] == "InProgress"
    office.codedeploy.remove_tags_from_on_premises_instances(tags=stopped, instanceNames=[name])
    assert fleet.wait(deployment)["status"] == "Succeeded"


def test_lists_are_filtered_by_tags(office: Office) -> None:
    # "ListOnPremisesInstances" in the API Reference
    one, two = office.register(), office.register()
    listing = office.codedeploy.list_on_premises_instances
    found = listing(tagFilters=[{**office.tag, "Type": "KEY_AND_VALUE"}])["instanceNames"]
    assert sorted(found) == sorted([one, two])
    assert listing(tagFilters=[{"Key": "Floor", "Type": "KEY_ONLY"}])["instanceNames"] == []
    infos = office.codedeploy.batch_get_on_premises_instances(instanceNames=[one, "nobody"])
    assert [info["instanceName"] for info in infos["instanceInfos"]] == [one]


USER = "arn:aws:iam::123456789012:user/nobody"
SESSION = "arn:aws:sts::123456789012:assumed-role/role/session"


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"instanceName": "", "iamUserArn": USER}, "InstanceNameRequiredException"),
        ({"instanceName": "i-123", "iamUserArn": USER}, "InvalidInstanceNameException"),
        ({"instanceName": "a/../b", "iamUserArn": USER}, "InvalidInstanceNameException"),
        ({"instanceName": "a" * 101, "iamUserArn": USER}, "InvalidInstanceNameException"),
        ({"instanceName": "pc"}, "IamArnRequiredException"),
        (
            {"instanceName": "pc", "iamUserArn": USER, "iamSessionArn": SESSION},
            "MultipleIamArnsProvidedException",
        ),
        ({"instanceName": "pc", "iamUserArn": "me"}, "InvalidIamUserArnException"),
        ({"instanceName": "pc", "iamUserArn": USER}, "InvalidIamUserArnException"),
        ({"instanceName": "pc", "iamSessionArn": "me"}, "InvalidIamSessionArnException"),
    ],
)
def test_what_registration_refuses(fleet: Fleet, given: dict[str, str], code: str) -> None:
    # "RegisterOnPremisesInstance" in the API Reference; the AWS CLI's limits of a name
    assert code_of(fleet.codedeploy.register_on_premises_instance, **given) == code


def test_a_name_and_an_arn_are_registered_once(office: Office) -> None:
    name = office.register()
    register, arn = office.codedeploy.register_on_premises_instance, office.get(name)["iamUserArn"]
    again = code_of(register, instanceName=name, iamUserArn=arn)
    assert again == "InstanceNameAlreadyRegisteredException"
    other = code_of(register, instanceName=f"{name}-2", iamUserArn=arn)
    assert other == "IamUserArnAlreadyRegisteredException"


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ([], "TagRequiredException"),
        ([{"Value": "only"}], "InvalidTagException"),
        ([{"Key": "k" * 129}], "InvalidTagException"),
        ([{"Key": str(number)} for number in range(10)], "TagLimitExceededException"),
    ],
)
def test_what_tagging_refuses(office: Office, tags: list[dict[str, str]], code: str) -> None:
    # "AddTagsToOnPremisesInstances" in the API Reference; "CodeDeploy limits"
    name, add = office.register(), office.codedeploy.add_tags_to_on_premises_instances
    assert code_of(add, tags=tags, instanceNames=[name]) == code
    nobody = code_of(add, tags=[office.tag], instanceNames=["nobody"])
    assert nobody == "InstanceNotRegisteredException"


FILTER = [{"Key": "Office", "Type": "KEY_ONLY"}]


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"onPremisesInstanceTagFilters": [{"Type": "KEY_ONLY"}]}, "InvalidTagException"),
        (
            {"onPremisesTagSet": {"onPremisesTagSetList": [FILTER]}},
            "InvalidOnPremisesTagCombinationException",
        ),
        (
            {
                "deploymentStyle": {
                    "deploymentType": "BLUE_GREEN",
                    "deploymentOption": "WITH_TRAFFIC_CONTROL",
                },
                "loadBalancerInfo": {"targetGroupInfoList": [{"name": "any"}]},
            },
            "InvalidBlueGreenDeploymentConfigurationException",
        ),
    ],
)
def test_what_a_deployment_group_refuses(
    office: Office, settings: dict[str, Any], code: str
) -> None:
    # "CreateDeploymentGroup" in the API Reference; "Overview of a blue/green deployment"
    assert code_of(office.group, **{"onPremisesInstanceTagFilters": FILTER, **settings}) == code


def test_the_aws_cli_registers_a_machine_in_one_go(office: Office, tmp_path: Path) -> None:
    # "Use the register command (IAM user ARN)": user, key, policy, configuration, tags
    name, tag = f"pc-{uuid4().hex[:8]}", office.tag
    aws = [sys.executable, "-m", "awscli", "deploy"]  # its script may lie in a path with a space

    def cli(*arguments: str) -> None:
        done = subprocess.run(
            [*aws, *arguments], cwd=tmp_path, env=office.fleet.aws.env, capture_output=True, text=True
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "ERROR" not in done.stderr, done.stderr

    tags = f"Key={tag['Key']},Value={tag['Value']}"
    cli("register", "--instance-name", name, "--tags", tags, "--region", "us-east-1")
    office.names.append(name)
    assert "aws_access_key_id" in (tmp_path / "codedeploy.onpremises.yml").read_text()
    assert office.fleet.deploy(office.group(), SITE)["status"] == "Succeeded"
    cli("deregister", "--instance-name", name, "--region", "us-east-1")
    assert "deregisterTime" in office.get(name)
    with pytest.raises(office.iam.exceptions.NoSuchEntityException):
        office.iam.get_user(UserName=name)
