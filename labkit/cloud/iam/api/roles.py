"""What UpdateRole is not given stays as it is: moto would put its own defaults there.

AWS page: "UpdateRole" in the IAM API Reference.
"""

from __future__ import annotations

from moto.core.responses import ActionResult, EmptyResult
from moto.iam.responses import IamResponse


def start() -> None:
    """Put it in moto's place."""
    IamResponse.update_role = _update  # type: ignore[method-assign]


def _update(self: IamResponse) -> ActionResult:
    role = self.backend.get_role(self.params["RoleName"])
    if (description := self.params.get("Description")) is not None:
        role.description = description
    if duration := self.params.get("MaxSessionDuration"):
        role.max_session_duration = duration
    return EmptyResult()
