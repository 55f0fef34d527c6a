"""Where moto takes for granted that what a request names is there, and here, or drops what it does not name.

AWS pages: "Errors" of the operations in the API References of Amazon EC2 Auto Scaling, Amazon ECS and
AWS Systems Manager; "SetQueueAttributes" (SQS API Reference); "Access AWS Secrets Manager secrets from a
different account".
"""

from __future__ import annotations

from functools import wraps
from typing import Any

from moto.autoscaling.models import AutoScalingBackend
from moto.ecs.models import EC2ContainerServiceBackend

from labkit.cloud.iam import state
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


def of_queues() -> None:
    """moto drops a queue's policy when any other attribute is set."""
    from moto.sqs.models import Queue

    original = Queue._set_attributes

    @wraps(original)
    def set_attributes(self: Any, attributes: dict[str, Any], now: float | None = None) -> None:
        kept = getattr(self, "policy", None)
        original(self, attributes, now)
        if "Policy" not in attributes:
            self.policy = kept

    Queue._set_attributes = set_attributes  # type: ignore[method-assign]


def of_secrets() -> None:
    """moto looks for every secret in the account and Region of who asks, whatever its ARN says."""
    from moto.secretsmanager.responses import SecretsManagerResponse

    here: Any = SecretsManagerResponse.backend.fget  # type: ignore[attr-defined]

    def backend(self: Any) -> Any:
        arn = state.parsed(str(self._get_param("SecretId") or ""))
        known = state.at(arn) if arn else None
        return here(self) if known is None else known

    SecretsManagerResponse.backend = property(backend)  # type: ignore[method-assign, assignment]
