"""An action as its provider sees it, and how it fails; `actions` has the providers."""

from __future__ import annotations

import io
import json
import secrets
import shutil
import string
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, Any, TypeVar

from botocore.exceptions import ClientError

from labkit.cloud.codepipeline.models import ActionRun, Artifact, Execution, Pipeline
from labkit.cloud.shared import clients, runtime
from labkit.cloud.shared.clients import Session
from labkit.cloud.shared.clone_ref import FORMAT, CloneRef

CODEPIPELINE = "codepipeline.amazonaws.com"
SESSION = "codepipeline"
T = TypeVar("T")
_BLOCK = 1 << 20
_VALID_FOR_SECONDS = 300
_ALPHABET = string.ascii_letters + string.digits


class ActionFailed(Exception):
    """An action that did not succeed.

    Args:
        code: a FailureType: JobFailed, ConfigurationError, PermissionError, RevisionUnavailable, ...
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def assume_own(
    session: Session, role_arn: str, own: str, pipeline: str, policy: str | None = None
) -> Session:
    """Assume an action's own role from the pipeline's.

    Args:
        session: of the pipeline's role, whose ARN is `role_arn`.
        own: the action's role.
        pipeline: the ARN of the pipeline.
        policy: a session policy.

    Raises:
        ActionFailed: PermissionError, the one may not assume or the other does not trust.

    AWS page: "Create a pipeline that uses resources from another AWS account".
    """
    try:
        return clients.chain_role(session, own, SESSION, pipeline, policy)
    except ClientError as error:
        told = f"{role_arn} is not authorized to perform AssumeRole on role {own}"
        raise ActionFailed("PermissionError", told) from error


@contextmanager
def kept(stream: Any) -> Iterator[IO[bytes]]:
    """What a stream brings, in a file without a name: an artifact may be larger than memory."""
    with tempfile.TemporaryFile(dir=runtime.current().directory("pipelines")) as file:
        shutil.copyfileobj(stream, file, _BLOCK)
        file.seek(0)
        yield file


def parse_json(text: str | bytes, name: str, kind: type[T]) -> T:
    """Read JSON that a person wrote.

    Args:
        name: where it stands.
        kind: dict or list.

    Raises:
        ActionFailed: it is not JSON, or not of that kind.
    """
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ActionFailed("ConfigurationError", f"{name} is not JSON: {error}") from error
    if not isinstance(found, kind):
        wanted = "object" if kind is dict else "array"
        raise ActionFailed("ConfigurationError", f"{name} is not a JSON {wanted}")
    return found


@dataclass
class Action:
    """One action as its provider sees it: resolved configuration, artifacts, and AWS."""

    pipeline: Pipeline
    execution: Execution
    run: ActionRun
    changed: Callable[[], None]  # says that the run shows something new
    _own: Session | None = None  # of the action's own role

    @property
    def configuration(self) -> dict[str, str]:
        return self.run.configuration

    @property
    def declaration(self) -> dict[str, Any]:
        return self.run.declaration

    @property
    def session(self) -> Session:
        """The pipeline's role; the action's own role, assumed from it, where it declares one.

        AWS page: "Create a pipeline that uses resources from another AWS account".
        """
        session = self._as_pipeline()
        own = self.declaration.get("roleArn")
        if own:
            if self._own is None or self._own.expires < time.monotonic() + _VALID_FOR_SECONDS:
                declared = self.execution.declaration["roleArn"]
                self._own = assume_own(session, declared, own, self.pipeline.arn)
            session = self._own
        return session if session.region == self.region else session.in_region(self.region)

    @property
    def worker_session(self) -> Session:
        """The same role, limited to the artifacts: what a job worker is given.

        AWS page: "PollForJobs", temporary credentials for the S3 bucket used to store artifacts.
        """
        bucket = f"arn:aws:s3:::{self.store['location']}"
        statements = [
            {"Effect": "Allow", "Action": "s3:*", "Resource": [bucket, f"{bucket}/*"]},
            {"Effect": "Allow", "Action": "kms:*", "Resource": "*"},
        ]
        policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
        if own := self.declaration.get("roleArn"):
            declared = self.execution.declaration["roleArn"]
            return assume_own(self._as_pipeline(), declared, own, self.pipeline.arn, policy)
        return self._as_pipeline(policy)

    def _as_pipeline(self, policy: str | None = None) -> Session:
        """The pipeline's role, with a session policy or without, in the pipeline's Region."""
        return clients.assume_role(
            CODEPIPELINE,
            self.execution.declaration["roleArn"],
            SESSION,
            self.pipeline.region,
            source_arn=self.pipeline.arn,
            policy=policy,
        )

    @property
    def region(self) -> str:
        """The Region the action is in: the pipeline's, or another for a cross-Region action."""
        return self.declaration.get("region") or self.pipeline.region

    @property
    def store(self) -> dict[str, Any]:
        """The artifact store of the action's Region.

        AWS page: "Add a cross-Region action in CodePipeline".
        """
        declared = self.execution.declaration
        store: dict[str, Any] = (
            declared.get("artifactStore") or declared["artifactStores"][self.region]
        )
        return store

    def client(self, service: str) -> Any:
        """A boto3 client that acts as this action's role."""
        return self.session.client(service)

    def input(self, name: str) -> Artifact:
        """The input artifact of that name, as this execution made it.

        Raises:
            ActionFailed: it was not made, because the stage that makes it was skipped.
        """
        known = self.execution.artifacts.get(name)
        if known is None:
            raise ActionFailed(
                "ConfigurationError",
                f"The input artifact {name} was not made in this execution: its stage was skipped",
            )
        return known

    @contextmanager
    def open_input(self, artifact: Artifact) -> Iterator[IO[bytes]]:
        """An input artifact, brought to a file for as long as it is needed."""
        found = self.client("s3").get_object(Bucket=artifact.bucket, Key=artifact.key)
        with kept(found["Body"]) as file:
            yield file

    def read_input_file(self, artifact: str, name: str) -> bytes:
        """A file of the input artifact of that name.

        Raises:
            ActionFailed: the action has no such input.
            FileNotFoundError: the artifact has no such file, or is no zip.
        """
        found = next((one for one in self.run.inputs if one.name == artifact), None)
        if found is None:
            raise ActionFailed("ConfigurationError", f"{artifact} is not an input of this action")
        try:
            with self.open_input(found) as file, zipfile.ZipFile(file) as archive:
                return archive.read(name)
        except (zipfile.BadZipFile, KeyError) as error:
            raise FileNotFoundError(str(error)) from error

    def source_revision(self, kind: str) -> str | None:
        """The revision that the execution was started with for this action, of type `kind`."""
        given = self.execution.source_revisions.get(self.run.name) or {}
        return given.get("revisionValue") if given.get("revisionType") == kind else None

    def set_revision(
        self, revision_id: str, summary: str, url: str | None = None, **more: Any
    ) -> None:
        """Say which revision this source action fetched."""
        others = [item for item in self.execution.revisions if item["actionName"] != self.run.name]
        revision = {
            "name": self.run.outputs[0].name,
            "actionName": self.run.name,
            "revisionId": revision_id,
            "revisionSummary": summary,
            "created": datetime.now(UTC),
            **({"revisionUrl": url} if url else {}),
            **more,
        }
        self.execution.revisions = [*others, revision]
        self.report(external_id=revision_id, url=url, summary=summary)

    def new_artifact(self, name: str) -> Artifact:
        """Where an output artifact of this run will lie.

        AWS page: "Input and output artifacts".
        """
        store = self.store["location"]
        suffix = "".join(secrets.choice(_ALPHABET) for _ in range(7))
        return Artifact(name, store, f"{self.pipeline.name[:20]}/{name[:10]}/{suffix}")

    def put_clone_ref(self, artifact: Artifact, reference: CloneRef) -> None:
        """Store where to clone from, instead of the files."""
        self.put_artifact(artifact, reference.body(), reference.commit, FORMAT)

    def put_output_file(self, name: str, text: str) -> None:
        """Store one file as the output artifact, if this action declares one."""
        body = io.BytesIO()
        with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name, text)
        for artifact in self.run.outputs:
            self.put_artifact(artifact, body.getvalue(), None)

    def put_artifact(
        self,
        artifact: Artifact,
        body: bytes | IO[bytes],
        revision: str | None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Store an artifact, encrypted as the store says.

        Args:
            body: its bytes, or a file that can be read twice.
        """
        key = self.store.get("encryptionKey")
        self.client("s3").put_object(
            Bucket=artifact.bucket,
            Key=artifact.key,
            Body=body,
            ContentType="application/zip",
            ServerSideEncryption="aws:kms",
            Metadata={
                **({"codepipeline-revision": revision} if revision else {}),
                **(metadata or {}),
            },
            **({"SSEKMSKeyId": key["id"]} if key else {}),
        )

    def report(
        self, *, external_id: str, url: str | None = None, summary: str | None = None
    ) -> None:
        """Show what the provider calls this piece of work, as soon as it says so."""
        self.run.external_id, self.run.external_url, self.run.summary = external_id, url, summary
        self.changed()
