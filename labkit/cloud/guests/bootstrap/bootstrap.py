"""Runs a Python handler: one JSON object a line comes in by one file descriptor, one goes out by another.

Page: "Define Lambda function handler in Python" (AWS Lambda Developer Guide).
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

END = "\x1e"


class Context:
    """The context object; its times are in milliseconds."""

    def __init__(self, given: dict[str, str], deadline: float) -> None:
        self.aws_request_id = given["awsRequestId"]
        self.function_name = given["functionName"]
        self.function_version = given["functionVersion"]
        self.invoked_function_arn = given["invokedFunctionArn"]
        self.memory_limit_in_mb = given["memoryLimitInMB"]
        self.log_group_name = given["logGroupName"]
        self.log_stream_name = given["logStreamName"]
        self.identity = self.client_context = None
        self._deadline = deadline

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int(self._deadline - time.time() * 1000))


def load() -> tuple[Callable[..., object], None] | tuple[None, dict[str, Any]]:
    module_name, _, name = os.environ["_HANDLER"].rpartition(".")
    sys.path.insert(0, os.environ["LAMBDA_TASK_ROOT"])
    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except ImportError as error:
        message = f"Unable to import module '{module_name}': {error}"
        return None, {"errorType": "Runtime.ImportModuleError", "errorMessage": message}
    if not hasattr(module, name):
        message = f"Handler '{name}' missing on module '{module_name}'"
        return None, {"errorType": "Runtime.HandlerNotFound", "errorMessage": message}
    return getattr(module, name), None


def told(error: BaseException) -> dict[str, Any]:
    trace = traceback.format_list(traceback.extract_tb(error.__traceback__)[1:])
    return {"errorMessage": str(error), "errorType": type(error).__name__, "stackTrace": trace}


def main() -> None:
    source = os.fdopen(int(os.environ.pop("LABKIT_EVENTS")), "r")
    sink = os.fdopen(int(os.environ.pop("LABKIT_ANSWERS")), "w")
    try:
        handler, broken = load()
    except BaseException as error:
        handler, broken = None, told(error)
    for line in source:
        given = json.loads(line)
        context = Context(given["context"], given["deadline"])
        answer: dict[str, Any] = {}
        try:
            if handler is None:
                answer = {"error": {**(broken or {}), "requestId": context.aws_request_id}}
            else:
                value = json.dumps(handler(given["event"], context))
                answer = {"value": value}
        except Exception as error:
            answer = {"error": {**told(error), "requestId": context.aws_request_id}}
        if "error" in answer:
            shown = answer["error"]
            print(f"[ERROR] {shown['errorType']}: {shown['errorMessage']}")
            print("Traceback (most recent call last):\n" + "".join(shown.get("stackTrace", [])))
        sys.stderr.flush()
        print(f"{END}{context.aws_request_id}", flush=True)
        sink.write(json.dumps(answer) + "\n")
        sink.flush()


main()
