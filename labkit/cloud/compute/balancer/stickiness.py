"""What may be declared of stickiness, with the errors that AWS has and moto does not.

AWS pages: "Sticky sessions for your Application Load Balancer"; "TargetGroupAttribute" and
"TargetGroupStickinessConfig" in the Elastic Load Balancing API Reference.
"""

from __future__ import annotations

from functools import wraps
from typing import Any

from moto.elbv2.exceptions import ELBClientError
from moto.elbv2.models import ELBv2Backend

from labkit.cloud.compute.balancer.routes import forwards, group_seconds, is_on
from labkit.cloud.shared.service import named

LONGEST = 604_800
_RESERVED = "AWSALB"  # the beginning of each of the balancer's own names
_OF_A_RULE = (
    "You must enable group stickiness on a rule if you enabled target stickiness on one of its "
    "target groups"
)


def start() -> None:
    """Check what is declared: called once, when the local AWS starts."""
    for name in ("create_listener", "modify_listener", "create_rule", "modify_rule"):
        _check(name, _check_actions)
    _check("modify_target_group_attributes", _check_attributes)


def _check(name: str, check: Any) -> None:
    real = getattr(ELBv2Backend, name)

    @wraps(real)
    def checked(self: Any, *arguments: Any, **keywords: Any) -> Any:
        check(self, named(real, self, *arguments, **keywords))
        return real(self, *arguments, **keywords)

    setattr(ELBv2Backend, name, checked)


def _check_actions(backend: Any, given: dict[str, Any]) -> None:
    for action in given.get("actions") or []:
        seconds = group_seconds(action)
        if seconds is not None and not 1 <= seconds <= LONGEST:
            raise _refused(f"Group stickiness duration must be between 1 and {LONGEST} seconds")
        if seconds is None and _shares(action):
            found = [backend.target_groups.get(arn) for arn, _ in forwards(action)]
            if any(group and is_on(group.attributes) for group in found):
                raise _refused(_OF_A_RULE)


def _check_attributes(backend: Any, given: dict[str, Any]) -> None:
    group = backend.target_groups.get(given["target_group_arn"])
    if group is None:
        return
    after = {**group.attributes, **given["attributes"]}
    for kind in ("lb_cookie", "app_cookie"):
        key = f"stickiness.{kind}.duration_seconds"
        seconds = str(given["attributes"].get(key, 1))
        if not seconds.isdigit() or not 1 <= int(seconds) <= LONGEST:
            raise _refused(
                f"'{key}' value '{seconds}' must be between 1 and {LONGEST}", "ValidationError"
            )
    name = str(after.get("stickiness.app_cookie.cookie_name") or "")
    if name.startswith(_RESERVED):
        raise _refused(f"The cookie name '{name}' is reserved for the load balancer")
    if not is_on(after):
        return
    if after.get("stickiness.type") == "app_cookie" and not name:
        raise _refused(
            "You must set an application cookie name to enable stickiness of type 'app_cookie'"
        )
    for action in _actions(backend):
        shares = [arn for arn, _ in forwards(action)] if _shares(action) else []
        if group.arn in shares and group_seconds(action) is None:
            raise _refused(_OF_A_RULE)


def _shares(action: dict[str, Any]) -> bool:
    return len(forwards(action)) > 1


def _actions(backend: Any) -> list[dict[str, Any]]:
    return [
        action.data
        for balancer in list(backend.load_balancers.values())
        for listener in list(balancer.listeners.values())
        for rule in list(listener.rules.values())
        for action in rule.actions
    ]


def _refused(message: str, code: str = "InvalidConfigurationRequest") -> ELBClientError:
    return ELBClientError(code, message)
