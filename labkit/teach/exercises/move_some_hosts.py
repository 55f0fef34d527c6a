"""Exercise: a deployment to a fleet that leaves enough hosts alone, goes back, and stops when an alarm says so.

The releases hold one script, which succeeds or fails: what counts is which hosts it comes to.

Pages: "Working with deployment configurations in CodeDeploy"; "Redeploy and roll back a deployment with
CodeDeploy"; "Monitoring deployments with CloudWatch alarms in CodeDeploy".
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from typing import Any

from labkit import observe
from labkit.lab import Lab
from labkit.provision import deploy, provision, roles
from labkit.provision.aws import missing_is_fine
from labkit.teach.exercises import alarms
from labkit.teach.exercises.model import Answer, Check, Exercise, Facts, NotYetError, taken

_APPSPEC = """version: 0.0
os: linux
files: [{source: version.txt, destination: /srv/fleet}]
file_exists_behavior: OVERWRITE
hooks:
  ValidateService: [{location: validate.sh, timeout: 20}]
"""


def begin(facts: Facts) -> dict[str, Any]:
    """As fast as can be, whatever happens."""
    return {
        "healthy": {"type": "HOST_COUNT", "value": 0},
        "rollback": {"enabled": False},
        "alarms": {"enabled": False, "alarms": []},
    }


def prepare(lab: Lab, facts: Facts) -> None:
    """A fleet with a good release on them, and an alarm that is off."""
    provision(lab, until="artifacts")
    look = roles.allow(["cloudwatch:DescribeAlarms"])  # AWSCodeDeployRole has it
    lab.client("iam").put_role_policy(
        RoleName=lab.role("codedeploy"), PolicyName="alarms", PolicyDocument=roles.document(look)
    )
    _terminate_beyond(lab, int(facts["hosts"]))
    deploy.create_instances(lab, int(facts["hosts"]))
    deploy.create_application(lab)
    deploy.create_deployment_group(lab)
    alarms.prepare(lab, facts["alarm"], "Fleet")


def _terminate_beyond(lab: Lab, count: int) -> None:
    """Another variant may have left more hosts than this one has."""
    more = [one["InstanceId"] for one in deploy.instances(lab)[count:]]
    if more:
        lab.client("ec2").terminate_instances(InstanceIds=more)


@dataclass(frozen=True)
class Outcome:
    """What came of three deployments: a good one, a bad one, and a good one while the alarm was on."""

    hosts: int
    good: dict[str, Any]
    bad: dict[str, Any]
    back: dict[str, Any]
    alarmed: dict[str, Any]

    @property
    def everywhere(self) -> bool:
        """Whether the good release came to every host."""
        return self.good["status"] == "Succeeded" and _count(self.good, "Succeeded") == self.hosts

    @property
    def touched(self) -> int:
        """How many hosts the bad release came to.

        Raises:
            NotYetError: not even a good one gets through.
        """
        if not self.everywhere:
            raise NotYetError("first let a good release through")
        return _count(self.bad, "Succeeded") + _count(self.bad, "Failed")


def _count(info: dict[str, Any], state: str) -> int:
    return int(info.get("deploymentOverview", {}).get(state, 0))


def run(lab: Lab, facts: Facts, answer: Answer) -> Outcome:
    """Set what was handed in, and deploy three times."""
    codedeploy, name = lab.client("codedeploy"), f"{lab.name}-enough"
    where = {"applicationName": lab.application, "currentDeploymentGroupName": lab.fleet}
    codedeploy.update_deployment_group(**where, deploymentConfigName="CodeDeployDefault.AllAtOnce")
    with missing_is_fine():
        codedeploy.delete_deployment_config(deploymentConfigName=name)
    with taken("healthy"):
        codedeploy.create_deployment_config(
            deploymentConfigName=name,
            computePlatform="Server",
            minimumHealthyHosts=answer["healthy"],
        )
    with taken("rollback and alarms"):
        codedeploy.update_deployment_group(
            **where,
            deploymentConfigName=name,
            autoRollbackConfiguration=answer["rollback"],
            alarmConfiguration=answer["alarms"],
        )
    good, _ = _deployed(lab, "good")
    bad, back = _deployed(lab, "bad")
    alarms.turn(lab, facts["alarm"], "ALARM")
    alarmed, _ = _deployed(lab, "good")
    alarms.turn(lab, facts["alarm"], "OK")
    return Outcome(int(facts["hosts"]), good, bad, back, alarmed)


def _deployed(lab: Lab, which: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Deploy a release; returns its deploymentInfo, and that of the way back."""
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as bundle:
        bundle.writestr("appspec.yml", _APPSPEC)
        bundle.writestr("version.txt", which)
        bundle.writestr("validate.sh", f"#!/bin/sh\nexit {int(which == 'bad')}\n")
    key = f"releases/{which}.zip"
    lab.client("s3").put_object(Bucket=lab.bucket, Key=key, Body=body.getvalue())
    info = observe.wait_for_deployment(lab, deploy.create_deployment(lab, key))
    back = info.get("rollbackInfo", {}).get("rollbackDeploymentId")
    return info, observe.wait_for_deployment(lab, back) if back else {}


EXERCISE = Exercise(
    title="move some hosts",
    lesson="10_strategies",
    level=2,
    given={
        "name": ("exercise-10",),
        "hosts": ("4", "3", "2"),
        "alarm": ("fleet-errors", "fleet-latency", "fleet-load", "fleet-complaints"),
    },
    begin=begin,
    prepare=prepare,
    run=run,
    checks=(
        Check(
            "a good release comes to all {hosts} hosts",
            lambda it: it.everywhere,
            lambda it: it.good.get("errorInformation", {}).get("message", "it stops on the way"),
        ),
        Check(
            "a bad one comes to one host, and to no other",
            lambda it: it.touched == 1,
            lambda it: f"it came to {it.touched}: the others have to stay healthy",
            points=2,
        ),
        Check(
            "then all go back to the good release",
            lambda it: it.touched and it.back.get("status") == "Succeeded",
            "name DEPLOYMENT_FAILURE among the events of the automatic rollback",
        ),
        Check(
            "while the alarm {alarm} is on a deployment stops",
            lambda it: it.touched and it.alarmed["status"] in ("Stopped", "Failed"),
            "name the alarm in alarmConfiguration, and enable it",
        ),
    ),
)
