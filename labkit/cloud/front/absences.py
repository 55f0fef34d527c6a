"""Where moto takes for granted that what a request names is there, or is in nobody's use: AWS says so.

AWS pages: "Errors" of the operations in the API References of Amazon EC2 Auto Scaling, Amazon ECS, IAM
and AWS Systems Manager.
"""

from __future__ import annotations

from functools import wraps
from typing import Any

from moto.autoscaling.models import AutoScalingBackend
from moto.ecs.models import EC2ContainerServiceBackend
from moto.iam.exceptions import DeleteConflictException
from moto.iam.models import IAMBackend
from moto.iam.policy_validation import BaseIAMPolicyValidator

from labkit.cloud.shared.service import AWSError


class Groups(dict[str, Any]):
    """Auto Scaling groups by name."""

    def __missing__(self, name: str) -> Any:
        raise AWSError(
            "ValidationError",
            f"AutoScalingGroup name not found - no Auto Scaling group of the name {name}",
        )


def start() -> None:
    """Have AWS's errors said: called once, when the local AWS starts."""
    _of_auto_scaling()
    _of_task_sets()
    _of_policies()


def _of_auto_scaling() -> None:
    made, terminate = AutoScalingBackend.__init__, AutoScalingBackend.terminate_instance

    def __init__(self: Any, region_name: str, account_id: str) -> None:
        made(self, region_name, account_id)
        self.autoscaling_groups = Groups()

    def terminate_instance(self: Any, instance_id: str, should_decrement: bool) -> Any:
        states = [
            one for group in self.autoscaling_groups.values() for one in group.instance_states
        ]
        if instance_id not in [one.instance.id for one in states]:
            raise AWSError(
                "ValidationError",
                f"Instance Id not found - No managed instance found for instance ID: {instance_id}",
            )
        return terminate(self, instance_id, should_decrement)

    AutoScalingBackend.__init__ = __init__  # type: ignore[method-assign]
    AutoScalingBackend.terminate_instance = terminate_instance  # type: ignore[method-assign]


def _of_task_sets() -> None:
    delete = EC2ContainerServiceBackend.delete_task_set

    def delete_task_set(self: Any, cluster: str, service: str, task_set: str) -> Any:
        self._get_service(self._get_cluster(cluster).name, service.split("/")[-1])
        return delete(self, cluster, service, task_set)

    EC2ContainerServiceBackend.delete_task_set = delete_task_set  # type: ignore[method-assign]


def _of_policies() -> None:
    delete = IAMBackend.delete_policy

    def delete_policy(self: Any, policy_arn: str) -> None:
        policy = self.managed_policies.get(policy_arn)
        if policy is not None and policy.attachment_count:
            raise DeleteConflictException("Cannot delete a policy attached to entities.")
        delete(self, policy_arn)

    IAMBackend.delete_policy = delete_policy  # type: ignore[method-assign]
    check = BaseIAMPolicyValidator._validate_condition_syntax

    def check_condition(statement: dict[str, Any]) -> None:
        """Take a number for a value, as "Grammar of the IAM JSON policy language" does."""
        block = statement.get("Condition")
        if isinstance(block, dict):
            block = {
                operator: {
                    key: str(value) if isinstance(value, int | float) else value
                    for key, value in keys.items()
                }
                if isinstance(keys, dict)
                else keys
                for operator, keys in block.items()
            }
            statement = {**statement, "Condition": block}
        check(statement)

    BaseIAMPolicyValidator._validate_condition_syntax = staticmethod(  # type: ignore[method-assign]
        check_condition
    )


def of_parameters() -> None:
    """moto leaves an empty parameter behind where it looked for one to label."""
    from moto.ssm.exceptions import ParameterNotFound
    from moto.ssm.models import SimpleSystemManagerBackend

    def check(name: str) -> None:
        original = getattr(SimpleSystemManagerBackend, name)

        @wraps(original)
        def checked(self: Any, name: str, *arguments: Any, **keywords: Any) -> Any:
            if name not in self._parameters:
                raise ParameterNotFound(f"Parameter {name} not found.")
            return original(self, name, *arguments, **keywords)

        setattr(SimpleSystemManagerBackend, name, checked)

    check("label_parameter_version")
    check("unlabel_parameter_version")
