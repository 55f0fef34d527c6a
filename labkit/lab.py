"""Which AWS a lesson talks to, and what its things are called there.

`Lab()` is the local AWS of this environment, and nothing else: a real account has to be asked for
by name, `Lab(target="aws")`. From there on a lesson sees boto3 clients, names and tags.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import botocore.session
import platformdirs
from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials
from botocore.exceptions import EndpointConnectionError

from labkit.markup import Sentence

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_NEEDED = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "LABKIT_STATE_DIR")
_HOW = 'Open the lessons with `labkit lab`, or in this shell run: eval "$(labkit env)"'
_making = threading.Lock()


class LabError(Sentence):
    """A lab cannot be used from here; the message says what to do."""


@dataclass(frozen=True)
class Lab:
    """One AWS, and the names of one pipeline's pieces in it.

    Args:
        name: the name everything starts with, so that two labs live side by side.
        target: None for the local AWS of this environment; "aws" for the real account that
            boto3's own settings name (where pieces cost money).
        acts_as: the ARN of a role, of another account perhaps, that all clients act as; None: whoever
            this environment says.

    Raises:
        LabError: this environment has no local AWS, or a real one was asked for inside it.
    """

    name: str = "hello"
    target: str | None = None
    acts_as: str | None = None
    _clients: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
        local = urlsplit(endpoint).hostname in LOOPBACK
        if self.target not in (None, "aws"):
            raise LabError(f'target is None (the local AWS) or "aws", not {self.target!r}')
        if self.target == "aws" and endpoint:
            raise LabError(
                f"This environment sends every call to {endpoint}. "
                "For a real account start Jupyter yourself, in a shell without the lab's variables."
            )
        missing = [name for name in _NEEDED if not os.environ.get(name)]
        if self.target is None and (missing or not local):
            what = f"{', '.join(missing)} not set" if missing else f"AWS_ENDPOINT_URL is {endpoint}"
            raise LabError(f"No local AWS in this environment ({what}). {_HOW}")

    def client(self, service: str) -> Any:
        """A plain boto3 client of `service` ("s3", "codepipeline", ...), made once.

        Its endpoint is boto3's own business: `AWS_ENDPOINT_URL`, where it is set.
        Page: "Service-specific endpoints" in the AWS SDKs and Tools Reference Guide.

        Raises:
            LabError: other settings of this environment would send it to some other AWS.
        """
        with _making:  # clients may be shared by threads, but not made by several at once
            if service not in self._clients:
                self._clients[service] = self._make(service)
            return self._clients[service]

    def _make(self, service: str) -> Any:
        client = self._session.client(service)
        endpoint = client.meta.endpoint_url
        if (urlsplit(endpoint).hostname in LOOPBACK) is not self.is_local:
            raise LabError(
                f"boto3 would talk to {endpoint}; look for AWS_ENDPOINT_URL_* and "
                "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS in this environment"
            )
        return client

    @contextmanager
    def must_answer(self) -> Iterator[None]:
        """Says what to do where the local AWS has ended meanwhile.

        Raises:
            LabError: nothing answers at its address.
        """
        try:
            yield
        except EndpointConnectionError as error:
            if not self.is_local:
                raise
            raise LabError(f"The local AWS has ended: {error} {_HOW}") from None

    @property
    def is_local(self) -> bool:
        """Whether this is the local AWS."""
        return self.target is None

    @cached_property
    def _session(self) -> boto3.Session:
        session = boto3.Session()
        return session if self.acts_as is None else _assumed(session, self.acts_as)

    @cached_property
    def account_id(self) -> str:
        """The twelve digits of the account, as STS says."""
        return str(self.client("sts").get_caller_identity()["Account"])

    @cached_property
    def region(self) -> str:
        """The Region that boto3 is set to."""
        region = self._session.region_name
        if region is None:
            raise LabError("No Region is set: export AWS_DEFAULT_REGION=us-east-1")
        return str(region)

    @cached_property
    def workspace(self) -> Path:
        """The directory of this machine where clones are; made if it is not there."""
        if self.is_local:
            path = Path(os.environ["LABKIT_STATE_DIR"]) / "work"
        else:
            path = platformdirs.user_data_path("labkit", appauthor=False) / self.account_id
        path.mkdir(parents=True, exist_ok=True)
        return path

    # What the pieces are called.

    @property
    def repository(self) -> str:
        """The CodeCommit repository."""
        return self.name

    @property
    def branch(self) -> str:
        """The branch that is released."""
        return "main"

    @property
    def bucket(self) -> str:
        """The artifact bucket; bucket names are shared by all of AWS, hence the account."""
        return f"{self.name}-artifacts-{self.account_id}-{self.region}"

    @property
    def project(self) -> str:
        """The CodeBuild project."""
        return f"{self.name}-build"

    @property
    def application(self) -> str:
        """The CodeDeploy application."""
        return self.name

    @property
    def fleet(self) -> str:
        """The deployment group, and the tag of the instances in it."""
        return f"{self.name}-fleet"

    @property
    def pipeline(self) -> str:
        """The CodePipeline pipeline."""
        return f"{self.name}-pipeline"

    def role(self, service: str) -> str:
        """The IAM role that a service acts as: `role("codebuild")` is "hello-codebuild"."""
        return f"{self.name}-{service}"

    def arn(self, service: str, resource: str) -> str:
        """The ARN of something in this account and Region: `arn("codebuild", "project/hello")`."""
        return f"arn:aws:{service}:{self.region}:{self.account_id}:{resource}"

    def role_arn(self, service: str) -> str:
        """The ARN of `role(service)`; IAM is global, so there is no Region in it."""
        return f"arn:aws:iam::{self.account_id}:role/{self.role(service)}"

    @property
    def tags(self) -> dict[str, str]:
        """The tags that everything this lab makes carries."""
        return {"labkit": self.name}

    def __repr__(self) -> str:
        where = "local AWS" if self.is_local else "REAL AWS ACCOUNT"
        return f"Lab {self.name!r}: {where}, account {self.account_id}, Region {self.region}"

    def _repr_html_(self) -> str:
        where = "the local AWS" if self.is_local else "<strong>a real AWS account</strong>"
        return (
            f"<p>Lab <code>{self.name}</code> works in {where}: "
            f"account {self.account_id}, Region {self.region}.</p>"
        )


def _assumed(session: boto3.Session, role_arn: str) -> boto3.Session:
    """A session that acts as a role, and assumes it again when its hour is over.

    AWS page: "AssumeRole" in the STS API Reference.
    """
    fetcher = AssumeRoleCredentialFetcher(
        session._session.create_client,
        session.get_credentials(),
        role_arn,
        extra_args={"RoleSessionName": "labkit"},
    )
    acting = botocore.session.Session()
    acting._credentials = DeferredRefreshableCredentials(fetcher.fetch_credentials, "assume-role")
    return boto3.Session(botocore_session=acting, region_name=session.region_name)


def tag_list(lab: Lab, key: str = "Key", value: str = "Value") -> list[dict[str, str]]:
    """The lab's tags as a list of pairs: `Key`/`Value` for most services, `key`/`value` for some."""
    return [{key: name, value: text} for name, text in lab.tags.items()]
