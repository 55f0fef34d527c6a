"""What moto's EC2 leaves out of its answers about networks.

AWS page: "DeleteSecurityGroup" in the Amazon EC2 API Reference.
"""

from __future__ import annotations

from moto.core.responses import ActionResult
from moto.ec2.responses.security_groups import SecurityGroups


def start() -> None:
    """Complete the answers: called once, when the local AWS starts."""
    delete = SecurityGroups.delete_security_group

    def delete_security_group(self: SecurityGroups) -> ActionResult:
        name, group_id = self._get_param("GroupName"), self._get_param("GroupId")
        known = self.ec2_backend.get_security_group_from_name(name) if name else None
        delete(self)
        return ActionResult({"Return": True, "GroupId": known.id if known else group_id})

    SecurityGroups.delete_security_group = delete_security_group  # type: ignore[method-assign]
