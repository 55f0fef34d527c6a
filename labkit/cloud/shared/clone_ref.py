"""Source artifacts of the format CODEBUILD_CLONE_REF: not the files, but where to clone them from.

Only CodeBuild reads them; it clones with its own role. AWS keeps the form to itself; here it is JSON
in the object, and `FORMAT` in its metadata. AWS page: "CodeCommit source action reference",
OutputArtifactFormat.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

FORMAT = {"codepipeline-output-format": "CODEBUILD_CLONE_REF"}


@dataclass(frozen=True)
class CloneRef:
    """One commit of one repository."""

    type: str  # a ProjectSource's: CODECOMMIT, or GITHUB for any other URL
    url: str
    commit: str
    branch: str

    def body(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def read(cls, body: bytes) -> CloneRef:
        """Raises: ValueError: it is not one."""
        try:
            return cls(**json.loads(body))
        except TypeError as error:
            raise ValueError(str(error)) from error
