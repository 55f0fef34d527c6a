"""Credentials for source providers, one of a kind: used when a source of the provider is cloned.

They are never shown again, and never lie in a build's directory. AWS page: "ImportSourceCredentials"
in the CodeBuild API Reference.
"""

from __future__ import annotations

from labkit.cloud.codebuild.api.base import Answer, Operations
from labkit.cloud.codebuild.declaration import invalid
from labkit.cloud.codebuild.models import SourceCredentials
from labkit.cloud.shared.service import AWSError

_AUTH_TYPES = {
    "GITHUB": ("PERSONAL_ACCESS_TOKEN",),
    "GITHUB_ENTERPRISE": ("PERSONAL_ACCESS_TOKEN",),
    "BITBUCKET": ("BASIC_AUTH", "PERSONAL_ACCESS_TOKEN"),
    "GITLAB": ("PERSONAL_ACCESS_TOKEN",),
    "GITLAB_SELF_MANAGED": ("PERSONAL_ACCESS_TOKEN",),
}


class Credentials(Operations):
    def import_source_credentials(
        self,
        token: str,
        serverType: str,
        authType: str,
        username: str | None = None,
        shouldOverwrite: bool = True,
    ) -> Answer:
        if authType not in _AUTH_TYPES[serverType]:
            invalid(f"The lab's local AWS does not support authType {authType} of {serverType}")
        if authType == "BASIC_AUTH" and not username:
            invalid("Username is required for authType BASIC_AUTH")
        arn = self.arn(f"token/{serverType.lower().replace('_', '-')}")
        if arn in self.backend.credentials and not shouldOverwrite:
            raise AWSError(
                "ResourceAlreadyExistsException",
                f"Access token with server type {serverType} already exists",
            )
        self.backend.credentials[arn] = SourceCredentials(
            arn, serverType, authType, token, username
        )
        return {"arn": arn}

    def list_source_credentials(self) -> Answer:
        found = self.backend.credentials.values()
        return {
            "sourceCredentialsInfos": [
                {"arn": item.arn, "serverType": item.server_type, "authType": item.auth_type}
                for item in found
            ]
        }

    def delete_source_credentials(self, arn: str) -> Answer:
        if self.backend.credentials.pop(arn, None) is None:
            raise AWSError(
                "ResourceNotFoundException", f"Source credentials cannot be found: {arn}"
            )
        return {"arn": arn}
