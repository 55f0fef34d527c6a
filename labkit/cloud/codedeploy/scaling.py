"""Auto Scaling: a launched instance gets the last good revision before it takes traffic.

CodeDeploy's lifecycle hook holds the instance in `Pending:Wait` while a deployment of the creator
`autoscaling` goes to it alone. It comes into service when that has succeeded; otherwise it is
terminated, and Auto Scaling launches another.

AWS page: "Integrating CodeDeploy with Amazon EC2 Auto Scaling".
"""

from __future__ import annotations

import logging
from functools import partial, wraps
from typing import Any

from moto.autoscaling.models import AutoScalingBackend, FakeAutoScalingGroup

from labkit.cloud import bus
from labkit.cloud.codedeploy import deployment as engine
from labkit.cloud.codedeploy.models import Deployment, Group, codedeploy_backends
from labkit.cloud.codedeploy.strategies.servers import scaling_groups
from labkit.cloud.shared import threads

logger = logging.getLogger(__name__)

WAITING, IN_SERVICE = "Pending:Wait", "InService"
_LOOK_AGAIN_SECONDS = 30.0
MOST_TRIES = 3  # launches in place of instances that could not be deployed to


def start() -> None:
    """Put CodeDeploy's hook into moto's Auto Scaling groups: called once, when the local AWS starts."""
    launch = FakeAutoScalingGroup.replace_autoscaling_group_instances
    register = AutoScalingBackend.update_attached_target_groups

    @wraps(launch)
    def replace_autoscaling_group_instances(self: Any, *arguments: Any, **keywords: Any) -> None:
        before = {state.instance.id for state in self.instance_states}
        launch(self, *arguments, **keywords)
        made = [state for state in self.instance_states if state.instance.id not in before]
        for group in _deploying_to(self):
            if group.target_revision is not None:
                for state in made:
                    state.lifecycle_state = WAITING
                tries = getattr(self, "labkit_tries", 0)
                threads.start(
                    partial(_bring_in, self, group, made, tries),
                    name=f"launch in {self.name}",
                    failed=partial(_let_out, self, made, tries),
                )

    @wraps(register)
    def update_attached_target_groups(self: Any, group_name: str) -> None:
        """Only instances in service are sent traffic."""
        scaling = self.autoscaling_groups[group_name]
        waiting = [one for one in scaling.instance_states if one.lifecycle_state == WAITING]
        scaling.instance_states = [one for one in scaling.instance_states if one not in waiting]
        try:
            register(self, group_name)
        finally:
            scaling.instance_states += waiting

    FakeAutoScalingGroup.replace_autoscaling_group_instances = (  # type: ignore[method-assign]
        replace_autoscaling_group_instances
    )
    AutoScalingBackend.update_attached_target_groups = update_attached_target_groups  # type: ignore[method-assign]


def _deploying_to(scaling: Any) -> list[Group]:
    backend = codedeploy_backends[scaling.account_id][scaling.region]
    return [
        group
        for application in list(backend.applications.values())
        for group in list(application.groups.values())
        if scaling.name in scaling_groups(group.declared)
    ]


def _bring_in(scaling: Any, group: Group, made: list[Any], tries: int) -> None:
    """Deploy to launched instances, let them in or out, and bring those up to date that are in."""
    done = _deploy(scaling, group, made, "autoscaling")
    good = [one for one in made if _succeeded(done, one)]
    for state in good:
        state.lifecycle_state = IN_SERVICE
    if len(good) < len(made):
        bad = [one for one in made if one not in good]
        _let_out(scaling, bad, tries, "could not be deployed to")
    else:
        scaling.labkit_tries = 0
    backend: Any = scaling.autoscaling_backend
    backend.update_attached_target_groups(scaling.name)
    _wait_for_own(group)
    updates = group.declared.get("outdatedInstancesStrategy", "UPDATE") != "IGNORE"
    if good and updates and group.target_revision != done.revision:
        # the group got another revision meanwhile
        _deploy(scaling, group, good, "CodeDeployAutoUpdate")


def _succeeded(deployment: Deployment, state: Any) -> bool:
    target = deployment.targets.get(state.instance.id)
    return target is not None and target.status == "Succeeded"


def _wait_for_own(group: Group) -> None:
    """Wait until what the group itself deploys is over, and the rollback that may follow."""
    while active := group.active:
        seen = bus.changes.count(active)
        if group.active == active:
            bus.changes.wait(active, seen, _LOOK_AGAIN_SECONDS)


def _let_out(scaling: Any, bad: list[Any], tries: int, why: object) -> None:
    """Terminate instances that never came into service, and launch others in their place."""
    scaling.instance_states = [one for one in scaling.instance_states if one not in bad]
    ids = [state.instance.id for state in bad]
    scaling.autoscaling_backend.ec2_backend.terminate_instances(ids)
    logger.warning("%s: instances %s: %s", scaling.name, ", ".join(ids), why)
    if tries < MOST_TRIES:
        scaling.labkit_tries = tries + 1
        scaling.set_desired_capacity(scaling.desired_capacity)


def _deploy(scaling: Any, group: Group, made: list[Any], creator: str) -> Deployment:
    """Deploy the last good revision to some instances; returns when it is over."""
    backend = codedeploy_backends[scaling.account_id][scaling.region]
    good = backend.deployments.get(group.last_success or "")
    deployment = Deployment(
        group.application,
        group.name,
        group.id,
        "CodeDeployDefault.AllAtOnce",
        group.target_revision or {},
        creator=creator,
        description=f"Auto Scaling launched instances in {scaling.name}",
        file_exists_behavior=good.file_exists_behavior if good else "DISALLOW",
    )
    engine.run_beside(backend, group, deployment, [state.instance.id for state in made])
    return deployment
