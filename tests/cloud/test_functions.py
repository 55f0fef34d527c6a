"""Functions run: Node and Python handlers, their environment, logs, errors, versions and aliases.

AWS pages: "Invoke" and "CreateFunction" in the Lambda API Reference; "Define Lambda function handler
in Node.js" and "in Python"; "Implement Lambda canary deployments using a weighted alias"; "Invoking a
function asynchronously".
"""

from __future__ import annotations

import base64
import json
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from math import sqrt
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.cloud.functions import Functions, make_functions, zipped
from tests.roles import create_role
from tests.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.guests]

NODE = """
let count = 0;
export const handler = async (event, context) => {
  console.log("seen", JSON.stringify(event));
  if (event.fail) throw new TypeError("as asked");
  if (event.exit) process.exit(7);
  if (event.sleep) await new Promise((done) => setTimeout(done, event.sleep));
  return { count: ++count, name: context.functionName, version: context.functionVersion,
           mine: process.env.MINE, left: context.getRemainingTimeInMillis() > 0,
           root: process.env.LAMBDA_TASK_ROOT };
};
"""
CALLBACK = "exports.handler = (event, context, callback) => callback(null, 'called back');"
PYTHON = """
import os, boto3
def handler(event, context):
    print("seen", event)
    if event.get("fail"):
        raise ValueError("as asked")
    who = boto3.client("sts").get_caller_identity()["Arn"] if event.get("who") else None
    return {"who": who, "id": context.aws_request_id, "mine": os.environ["MINE"]}
"""


@pytest.fixture(scope="session")
def functions(aws: Any) -> Functions:
    return make_functions(aws)


def test_a_node_handler_runs_and_its_environment_is_used_again(functions: Functions) -> None:
    name = functions.make(NODE)
    first, answer = functions.call(name, {"a": 1})
    assert answer["StatusCode"] == 200
    assert "FunctionError" not in answer
    assert (first["count"], first["name"], first["mine"], first["left"]) == (1, name, "yes", True)
    assert functions.call(name)[0]["count"] == 2


def test_a_node_handler_with_a_callback(functions: Functions) -> None:
    assert functions.call(functions.make(CALLBACK))[0] == "called back"


def test_a_python_handler_acts_as_its_role(functions: Functions) -> None:
    name = functions.make(PYTHON, "python3.11")
    told, _ = functions.call(name, {"who": True})
    assert told["who"].startswith("arn:aws:sts::123456789012:assumed-role/functions-")
    assert told["mine"] == "yes"


@pytest.mark.parametrize("runtime", ["nodejs22.x", "python3.11"])
def test_what_a_handler_raises_is_the_answer(functions: Functions, runtime: str) -> None:
    name = functions.make(NODE if "node" in runtime else PYTHON, runtime)
    told, answer = functions.call(name, {"fail": True})
    assert answer["FunctionError"] == "Unhandled"
    assert told["errorMessage"] == "as asked"
    assert told["errorType"] in ("TypeError", "ValueError")
    assert functions.call(name)[1].get("FunctionError") is None


@pytest.mark.parametrize(
    ("text", "handler", "kind"),
    [
        (NODE, "index.none", "Runtime.HandlerNotFound"),
        (NODE, "none.handler", "Runtime.ImportModuleError"),
        (NODE.replace("export", "const {"), "index.handler", "SyntaxError"),
    ],
)
def test_a_handler_that_cannot_be_loaded(functions: Functions, text: str, handler: str, kind: str) -> None:  # fmt: skip
    code = {"ZipFile": zipped("index.mjs", text)}
    told, answer = functions.call(functions.make(NODE, Handler=handler, Code=code))
    assert answer["FunctionError"] == "Unhandled"
    assert told["errorType"] == kind


def test_a_process_that_exits_and_the_next_invocation(functions: Functions) -> None:
    name = functions.make(NODE)
    told, _ = functions.call(name, {"exit": True})
    assert told["errorType"] == "Runtime.ExitError"
    assert told["errorMessage"].endswith("exit status 7")
    assert functions.call(name)[0]["count"] == 1


def test_a_function_that_takes_too_long_is_ended(functions: Functions) -> None:
    name = functions.make(NODE, Timeout=1)
    told, answer = functions.call(name, {"sleep": 30_000})
    assert answer["FunctionError"] == "Unhandled"
    assert "Task timed out after 1.00 seconds" in told["errorMessage"]


def test_logs_are_in_cloudwatch_and_in_the_tail(functions: Functions) -> None:
    name = functions.make(NODE)
    _, answer = functions.call(name, {"x": 5}, LogType="Tail")
    tail = base64.b64decode(answer["LogResult"]).decode()
    assert tail.startswith("START RequestId: ")
    assert 'seen {"x":5}' in tail
    assert "REPORT RequestId: " in tail
    logs = functions.aws.client("logs")

    def read() -> Any:
        try:
            found = logs.filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
        except logs.exceptions.ResourceNotFoundException:
            return False
        return any('seen {"x":5}' in event["message"] for event in found)

    eventually(read, what="the log arrives")


def test_other_invocation_types(functions: Functions) -> None:
    name = functions.make(NODE)
    assert functions.call(name, InvocationType="DryRun")[1]["StatusCode"] == 204
    told, answer = functions.call(name, InvocationType="Event")
    assert (told, answer["StatusCode"]) == (None, 202)


def test_a_rule_calls_a_function(functions: Functions) -> None:
    name = functions.make(NODE)
    arn = functions.api.get_function(FunctionName=name)["Configuration"]["FunctionArn"]
    events = functions.aws.client("events")
    rule = events.put_rule(Name=name, EventPattern=json.dumps({"source": [name]}))["RuleArn"]
    functions.api.add_permission(
        FunctionName=name, StatementId="rule", Action="lambda:InvokeFunction",
        Principal="events.amazonaws.com", SourceArn=rule,
    )  # fmt: skip
    events.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": arn}])
    events.put_events(Entries=[{"Source": name, "DetailType": "t", "Detail": "{}"}])
    logs = functions.aws.client("logs")

    def read() -> Any:
        groups = logs.describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{name}")["logGroups"]
        return groups and logs.filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]

    assert any(name in event["message"] for event in eventually(read, what="the function ran"))


@pytest.mark.slow
def test_versions_and_aliases_with_weights(functions: Functions) -> None:
    api, name = functions.api, functions.make(NODE)
    one = api.publish_version(FunctionName=name)["Version"]
    api.update_function_code(FunctionName=name, ZipFile=zipped("index.mjs", NODE + "// two"))
    two = api.publish_version(FunctionName=name)["Version"]
    api.create_alias(
        FunctionName=name, Name="live", FunctionVersion=one,
        RoutingConfig={"AdditionalVersionWeights": {two: 0.25}},
    )  # fmt: skip
    count = 400
    seen = Counter(functions.call(f"{name}:live")[1]["ExecutedVersion"] for _ in range(count))
    assert set(seen) == {one, two}
    spread = 2.58 * sqrt(count * 0.25 * 0.75)  # the 99 % interval; one run in a hundred is outside
    assert abs(seen[two] - count * 0.25) < 2 * spread
    api.update_alias(FunctionName=name, Name="live", FunctionVersion=two, RoutingConfig={"AdditionalVersionWeights": {}})  # fmt: skip
    assert {functions.call(name, Qualifier="live")[0]["version"] for _ in range(5)} == {two}


def test_an_alias_has_weights_of_versions_that_are_there(functions: Functions) -> None:
    api, name = functions.api, functions.make(NODE)
    one = api.publish_version(FunctionName=name)["Version"]
    weights = {"AdditionalVersionWeights": {"9": 0.1}}
    alias = {"FunctionName": name, "Name": "live", "FunctionVersion": one}
    with pytest.raises(api.exceptions.ResourceNotFoundException, match=f"{name}:9"):
        api.create_alias(**alias, RoutingConfig=weights)
    api.create_alias(**alias)
    with pytest.raises(api.exceptions.ResourceNotFoundException, match=f"{name}:9"):
        api.update_alias(**alias, RoutingConfig=weights)
    assert "RoutingConfig" not in api.get_alias(FunctionName=name, Name="live")


def test_what_cloudwatch_counts(functions: Functions) -> None:
    # "Types of metrics for Lambda functions": by function, by alias, by the version that ran
    name = functions.make(NODE)
    functions.api.publish_version(FunctionName=name)
    functions.api.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    for fails in (False, True, False):
        functions.call(f"{name}:live", {"fail": fails})
    functions.call(name)
    cloudwatch = functions.aws.client("cloudwatch")

    def sums(metric: str, **dimensions: str) -> float:
        now = datetime.now(UTC)
        found = cloudwatch.get_metric_statistics(
            Namespace="AWS/Lambda", MetricName=metric, Statistics=["Sum"], Period=3600,
            StartTime=now - timedelta(days=1), EndTime=now + timedelta(days=1),
            Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()],
        )["Datapoints"]  # fmt: skip
        return sum(point["Sum"] for point in found)

    eventually(lambda: sums("Invocations", FunctionName=name) == 4)
    alias = {"FunctionName": name, "Resource": f"{name}:live"}
    assert (sums("Invocations", **alias), sums("Errors", **alias)) == (3, 1)
    assert sums("Errors", **alias, ExecutedVersion="1") == 1
    assert sums("Duration", **alias) > 0
    assert sums("Invocations") >= 4


def test_invocations_at_once_have_an_environment_each(functions: Functions) -> None:
    name, told = functions.make(NODE), []

    def call() -> None:
        told.append(functions.call(name, {"sleep": 300})[0]["count"])

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"Runtime": "java21"}, "java21"),
        ({"Layers": ["arn:aws:lambda:us-east-1:123456789012:layer:l:1"]}, "Layers"),
        ({"PackageType": "Image", "Code": {"ImageUri": "i"}}, "Image"),
    ],
)
def test_what_cannot_run_is_refused(functions: Functions, more: dict[str, Any], named: str) -> None:
    with pytest.raises(ClientError, match=named) as refused:
        functions.make(NODE, **more)
    assert refused.value.response["Error"]["Code"] == "InvalidParameterValueException"


def test_a_role_that_does_not_trust_lambda(functions: Functions) -> None:
    role = create_role(functions.aws, "not-lambdas", "ec2.amazonaws.com")
    name = functions.make(NODE, Role=role)
    with pytest.raises(ClientError, match="cannot be assumed"):
        functions.call(name)
