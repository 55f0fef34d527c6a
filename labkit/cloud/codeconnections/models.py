"""Connections and hosts, and the URL of a repository behind them.

AWS signs in to a provider in the console, so a new connection is PENDING there. Here nothing is
signed in to: a connection is AVAILABLE at once and reads what can be read without signing in.
AWS pages: "Connection" and "Host" in the CodeConnections API Reference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from moto.core.base_backend import BackendDict, BaseBackend

from labkit.cloud.shared.deliveries import Delivery
from labkit.cloud.shared.git import github_url
from labkit.cloud.shared.service import AWSError

# where a provider keeps its repositories, unless a host says so
_ENDPOINTS = {
    "Bitbucket": "https://bitbucket.org",
    "GitLab": "https://gitlab.com",
}
INSTALLED = ("GitHubEnterpriseServer", "GitLabSelfManaged")  # those that need a host


@dataclass
class Host:
    """Where an installed provider is found."""

    arn: str
    name: str
    provider: str
    endpoint: str

    def fields(self) -> dict[str, Any]:
        return {
            "Name": self.name,
            "HostArn": self.arn,
            "ProviderType": self.provider,
            "ProviderEndpoint": self.endpoint,
            "Status": "AVAILABLE",
        }


@dataclass
class Connection:
    """A named way to a provider's repositories."""

    arn: str
    name: str
    provider: str
    account_id: str
    host: Host | None = None
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return self.arn.rpartition("/")[2]

    @property
    def region(self) -> str:
        return self.arn.split(":")[3]

    def url(self, repository: str) -> str:
        """The clone URL of a repository, by its full id (`owner/name`)."""
        if self.host is not None:
            return f"{self.host.endpoint.rstrip('/')}/{repository}.git"
        base = github_url() if self.provider == "GitHub" else _ENDPOINTS[self.provider]
        return f"{base.rstrip('/')}/{repository}.git"

    def fields(self) -> dict[str, Any]:
        shown = {
            "ConnectionName": self.name,
            "ConnectionArn": self.arn,
            "ProviderType": self.provider,
            "OwnerAccountId": self.account_id,
            "ConnectionStatus": "AVAILABLE",
            "HostArn": self.host.arn if self.host else None,
        }
        return {key: value for key, value in shown.items() if value is not None}


def receive(connection: Connection, delivery: Delivery) -> dict[str, Any]:
    """Answer a delivery to a connection's URL: whoever listens to connections is told."""
    answer: dict[str, Any] = {}
    for listener in listeners:
        answer |= listener(connection, delivery)
    return answer


listeners: list[Callable[[Connection, Delivery], dict[str, Any]]] = []


class ConnectionsBackend(BaseBackend):
    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.connections: dict[str, Connection] = {}  # by id
        self.hosts: dict[str, Host] = {}  # by ARN

    def connection(self, arn: str) -> Connection:
        """The connection of that ARN, under the service's old name or its new one.

        Raises:
            AWSError: ResourceNotFoundException.
        """
        known = self.connections.get(arn.rpartition("/")[2])
        if known is None:
            raise AWSError("ResourceNotFoundException", f"Connection {arn} not found")
        return known

    def host(self, arn: str) -> Host:
        """The host of that ARN.

        Raises:
            AWSError: ResourceNotFoundException.
        """
        if arn not in self.hosts:
            raise AWSError("ResourceNotFoundException", f"Host {arn} not found")
        return self.hosts[arn]


connections_backends = BackendDict(ConnectionsBackend, "codepipeline")
