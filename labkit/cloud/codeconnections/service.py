"""CodeConnections' API, under its name of today and its older one, CodeStar connections.

AWS page: "AWS CodeConnections API Reference".
"""

from __future__ import annotations

import uuid
from functools import partial
from typing import Any, ClassVar

from labkit.cloud.codeconnections import iam, models  # noqa: F401 - IAM asks it
from labkit.cloud.codeconnections.models import Connection, Host
from labkit.cloud.shared import deliveries
from labkit.cloud.shared.service import AWSError, Service, page

Answer = dict[str, Any]


class CodeConnections(Service):
    boto3_name: ClassVar[str] = "codeconnections"

    @property
    def backend(self) -> models.ConnectionsBackend:
        return models.connections_backends[self.current_account][self.region]

    def create_connection(
        self,
        ConnectionName: str,
        ProviderType: str | None = None,
        HostArn: str | None = None,
        Tags: list[Answer] | None = None,
    ) -> Answer:
        host = self.backend.host(HostArn) if HostArn else None
        provider = host.provider if host else ProviderType
        if provider is None or (ProviderType and HostArn):
            raise AWSError(
                "InvalidInputException", "Exactly one of ProviderType and HostArn must be given"
            )
        if host is None and provider in models.INSTALLED:
            raise AWSError("InvalidInputException", f"A connection to {provider} needs a HostArn")
        if host is None and provider not in ("GitHub", "Bitbucket", "GitLab"):
            raise AWSError(
                "InvalidInputException",
                f"The lab's local AWS does not support connections to {provider} (nothing was done)",
            )
        arn = self.arn(f"connection/{uuid.uuid4()}")
        tags = {tag["Key"]: tag["Value"] for tag in Tags or []}
        made = Connection(arn, ConnectionName, provider, self.current_account, host, tags)
        self.backend.connections[made.id] = made
        deliveries.open_path(made.id, partial(models.receive, made))
        return {"ConnectionArn": arn, **({"Tags": Tags} if Tags else {})}

    def get_connection(self, ConnectionArn: str) -> Answer:
        return {"Connection": self.backend.connection(ConnectionArn).fields()}

    def list_connections(
        self,
        ProviderTypeFilter: str | None = None,
        HostArnFilter: str | None = None,
        MaxResults: int | None = None,
        NextToken: str | None = None,
    ) -> Answer:
        found = [
            connection
            for connection in self.backend.connections.values()
            if ProviderTypeFilter in (None, connection.provider)
            and (
                HostArnFilter is None or (connection.host and connection.host.arn == HostArnFilter)
            )
        ]
        items, token = page(
            found, NextToken, MaxResults or None, error_code="InvalidInputException"
        )
        return {"Connections": [item.fields() for item in items], "NextToken": token}

    def delete_connection(self, ConnectionArn: str) -> Answer:
        known = self.backend.connection(ConnectionArn)
        deliveries.close_path(known.id)
        del self.backend.connections[known.id]
        return {}

    def create_host(
        self,
        Name: str,
        ProviderType: str,
        ProviderEndpoint: str,
        VpcConfiguration: Answer | None = None,
        Tags: list[Answer] | None = None,
    ) -> Answer:
        if ProviderType not in models.INSTALLED:
            raise AWSError("InvalidInputException", f"{ProviderType} is not an installed provider")
        host = Host(
            self.arn(f"host/{Name}-{uuid.uuid4().hex[:8]}"), Name, ProviderType, ProviderEndpoint
        )
        self.backend.hosts[host.arn] = host
        return {"HostArn": host.arn, **({"Tags": Tags} if Tags else {})}

    def get_host(self, HostArn: str) -> Answer:
        shown = self.backend.host(HostArn).fields()
        del shown["HostArn"]
        return shown

    def list_hosts(self, MaxResults: int | None = None, NextToken: str | None = None) -> Answer:
        found = list(self.backend.hosts.values())
        items, token = page(
            found, NextToken, MaxResults or None, error_code="InvalidInputException"
        )
        return {"Hosts": [item.fields() for item in items], "NextToken": token}

    def delete_host(self, HostArn: str) -> Answer:
        host = self.backend.host(HostArn)
        if any(item.host is host for item in self.backend.connections.values()):
            raise AWSError(
                "ResourceUnavailableException", f"Host {HostArn} has connections: delete them first"
            )
        del self.backend.hosts[HostArn]
        return {}

    def list_tags_for_resource(self, ResourceArn: str) -> Answer:
        tags = self.backend.connection(ResourceArn).tags
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}

    def tag_resource(self, ResourceArn: str, Tags: list[Answer]) -> Answer:
        tags = {tag["Key"]: tag["Value"] for tag in Tags}
        self.backend.connection(ResourceArn).tags.update(tags)
        return {}

    def untag_resource(self, ResourceArn: str, TagKeys: list[str]) -> Answer:
        for key in TagKeys:
            self.backend.connection(ResourceArn).tags.pop(key, None)
        return {}


class CodeStarConnections(CodeConnections):
    boto3_name: ClassVar[str] = "codestar-connections"
