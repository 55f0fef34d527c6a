"""Functions that a test makes of a text, and calls."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from tests.roles import create_role


def zipped(name: str, text: str) -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        archive.writestr(name, text)
    return body.getvalue()


@dataclass
class Functions:
    aws: Any
    role: str

    @property
    def api(self) -> Any:
        return self.aws.client("lambda")

    def make(self, text: str, runtime: str = "nodejs22.x", **more: Any) -> str:
        name = f"f-{uuid4().hex[:8]}"
        file = "index.mjs" if "export const" in text else "index.js"
        self.api.create_function(
            **{
                "FunctionName": name,
                "Runtime": runtime,
                "Role": self.role,
                "Handler": "index.handler",
                "Timeout": 30,  # a handler that imports boto3 beside other work takes its time
                "Code": {"ZipFile": zipped(file if "node" in runtime else "index.py", text)},
                "Environment": {"Variables": {"MINE": "yes"}},
                **more,
            }
        )
        return name

    def call(self, name: str, event: Any = None, **more: Any) -> tuple[Any, dict[str, Any]]:
        answer = self.api.invoke(FunctionName=name, Payload=json.dumps(event or {}), **more)
        body = answer["Payload"].read()
        return json.loads(body) if body else None, answer


def make_functions(aws: Any) -> Functions:
    """A role for functions in a running lab."""
    name = f"functions-{uuid4().hex[:8]}"
    return Functions(aws, create_role(aws, name, "lambda.amazonaws.com"))
