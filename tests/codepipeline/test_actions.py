"""What each provider does, in real pipelines: S3, ECR, CloudFormation, Lambda, another pipeline.

AWS pages: "Action structure reference" and the reference of each action.
"""

from __future__ import annotations

import io
import json
import stat
import zipfile
from typing import Any
from uuid import uuid4

import pytest

from tests.cloud.functions import zipped
from tests.codepipeline.test_sources import Account, action, names
from tests.roles import create_role
from tests.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.guests]


def archive(files: dict[str, str], links: dict[str, str] | None = None) -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as made:
        for name, text in files.items():
            made.writestr(name, text)
        for name, target in (links or {}).items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            made.writestr(info, target)
    return body.getvalue()


class Site:
    """A versioned bucket with one object, which pipelines start from."""

    def __init__(self, account: Account) -> None:
        self.account, self.bucket = account, f"site-{uuid4().hex[:8]}"
        self.s3 = account.aws.client("s3")
        self.s3.create_bucket(Bucket=self.bucket)
        self.s3.put_bucket_versioning(Bucket=self.bucket, VersioningConfiguration={"Status": "Enabled"})  # fmt: skip
        self.version = self.put({"index.html": "<p>one</p>", "css/site.css": "p {}"})

    def put(self, files: dict[str, str] | bytes, key: str = "site.zip") -> str:
        body = files if isinstance(files, bytes) else archive(files)
        return self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)["VersionId"]

    def source(self, **more: str) -> dict[str, Any]:
        given = {"S3Bucket": self.bucket, "S3ObjectKey": "site.zip", "PollForSourceChanges": "false"}  # fmt: skip
        return action("Source", "S3", "Site", {**given, **more}, outputs=["Code"], namespace="Site")

    def run(self, step: dict[str, Any], name: str | None = None) -> dict[str, Any]:
        """One action after the source; its run."""
        pipeline = self.account.pipeline(self.source(), {"name": "Step", "actions": [step]})
        return self.account.action_run(pipeline, name or step["name"])

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        listed = self.s3.list_objects_v2(Bucket=bucket, Prefix=prefix)
        return sorted(item["Key"] for item in listed.get("Contents", []))


@pytest.fixture(scope="session")
def site(account: Account) -> Site:
    return Site(account)


def error_of(run: dict[str, Any]) -> dict[str, str]:
    assert run["status"] == "Failed", run
    return run["output"]["executionResult"]["errorDetails"]


# sources


def test_an_objects_newest_version_is_the_source(account: Account, site: Site) -> None:
    run = account.action_run(account.pipeline(site.source()), "Site")
    variables = run["output"]["outputVariables"]
    assert variables["VersionId"] == site.version
    assert (variables["BucketName"], variables["ObjectKey"]) == (site.bucket, "site.zip")
    [artifact] = run["output"]["outputArtifacts"]
    assert artifact["s3location"]["key"].endswith(".zip")
    assert names(account.artifact(run, "Code")) == ["css/site.css", "index.html"]


def test_revisions_of_an_object_can_be_overridden(account: Account) -> None:
    site = Site(account)
    newer = site.put({"index.html": "two"})
    other = site.put({"other.html": "1"}, "other.zip")
    pipeline = account.pipeline(site.source(AllowOverrideForS3ObjectKey="true"))
    account.action_run(pipeline, "Site")

    def start(kind: str, value: str) -> dict[str, str]:
        override = {"actionName": "Site", "revisionType": kind, "revisionValue": value}
        started = account.api.start_pipeline_execution(name=pipeline, sourceRevisions=[override])

        def read() -> Any:
            found = account.api.list_action_executions(
                pipelineName=pipeline,
                filter={"pipelineExecutionId": started["pipelineExecutionId"]},
            )["actionExecutionDetails"]
            runs = [run for run in found if run["actionName"] == "Site"]
            return runs and runs[0]["status"] != "InProgress" and runs[0]

        return eventually(read, what="the source ends")["output"]["outputVariables"]

    assert start("S3_OBJECT_VERSION_ID", site.version)["VersionId"] == site.version
    assert start("S3_OBJECT_KEY", "other.zip")["VersionId"] == other
    assert newer != site.version


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"S3ObjectKey": "none.zip"}, "none.zip does not exist"),
        ({"S3Bucket": "not-versioned-sources"}, "does not have versioning enabled"),
    ],
)
def test_a_source_object_that_cannot_be_used(account: Account, site: Site, change: dict[str, str], told: str) -> None:  # fmt: skip
    site.s3.create_bucket(Bucket="not-versioned-sources")
    run = account.action_run(account.pipeline(site.source(**change)), "Site")
    assert told in error_of(run)["message"]


def test_an_event_of_the_bucket_starts_the_pipeline(account: Account) -> None:
    site = Site(account)
    site.s3.put_bucket_notification_configuration(
        Bucket=site.bucket, NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    pipeline = account.pipeline(site.source())
    account.action_run(pipeline, "Site")
    events, rule = account.aws.client("events"), f"rule-{pipeline}"
    pattern = {"source": ["aws.s3"], "detail-type": ["Object Created"], "detail": {"bucket": {"name": [site.bucket]}}}  # fmt: skip
    events.put_rule(Name=rule, EventPattern=json.dumps(pattern))
    role = create_role(account.aws, rule, "events.amazonaws.com")
    arn = f"arn:aws:codepipeline:us-east-1:123456789012:{pipeline}"
    events.put_targets(Rule=rule, Targets=[{"Id": "1", "Arn": arn, "RoleArn": role}])
    site.put({"index.html": "two"})
    runs = eventually(
        lambda: len(account.runs(pipeline)) == 2 and account.runs(pipeline), what="started"
    )
    assert runs[0]["trigger"]["triggerType"] == "CloudWatchEvent"


def test_polling_sees_a_new_object(account: Account) -> None:
    site = Site(account)
    pipeline = account.pipeline(site.source(PollForSourceChanges="true"))
    account.action_run(pipeline, "Site")
    site.put({"index.html": "two"})
    runs = eventually(
        lambda: len(account.runs(pipeline)) == 2 and account.runs(pipeline), what="polled"
    )
    assert runs[0]["trigger"]["triggerType"] == "PollForSourceChanges"


def test_an_image_is_the_source(account: Account) -> None:
    ecr, name = account.aws.client("ecr"), f"r-{uuid4().hex[:6]}"
    ecr.create_repository(repositoryName=name)
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json", "config": {}, "layers": []}  # fmt: skip
    image = ecr.put_image(
        repositoryName=name, imageManifest=json.dumps(manifest), imageTag="latest"
    )
    source = action("Source", "ECR", "Image", {"RepositoryName": name}, outputs=["Code"])
    run = account.action_run(account.pipeline(source), "Image")
    digest = image["image"]["imageId"]["imageDigest"]
    assert run["output"]["outputVariables"]["ImageDigest"] == digest
    with zipfile.ZipFile(io.BytesIO(account.artifact(run, "Code"))) as found:
        detail = json.loads(found.read("imageDetail.json"))
    assert detail["ImageURI"].endswith(f"/{name}@{digest}")
    missing = action("Source", "ECR", "Image", {"RepositoryName": name, "ImageTag": "no"}, outputs=["Code"])  # fmt: skip
    assert (
        "No image no" in error_of(account.action_run(account.pipeline(missing), "Image"))["message"]
    )


# S3 as a target


def deploy(bucket: str, **more: str) -> dict[str, Any]:
    return action("Deploy", "S3", "Put", {"BucketName": bucket, **more}, inputs=["Code"])


def test_a_sites_files_are_put_where_they_are_read(account: Account, site: Site) -> None:
    target = f"www-{uuid4().hex[:6]}"
    site.s3.create_bucket(Bucket=target)
    run = site.run(deploy(target, Extract="true", ObjectKey="v1", CacheControl="max-age=60"))
    assert run["status"] == "Succeeded", run
    assert site.keys(target) == ["v1/css/site.css", "v1/index.html"]
    found = site.s3.get_object(Bucket=target, Key="v1/index.html")
    assert (found["ContentType"], found["CacheControl"]) == ("text/html", "max-age=60")


def test_the_artifact_whole_under_a_key_with_placeholders(account: Account, site: Site) -> None:
    target = f"www-{uuid4().hex[:6]}"
    site.s3.create_bucket(Bucket=target)
    site.run(deploy(target, Extract="false", ObjectKey="{datetime}/{uuid}.zip"))
    [key] = site.keys(target)
    assert "{" not in key
    body = site.s3.get_object(Bucket=target, Key=key)["Body"].read()
    assert names(body) == ["css/site.css", "index.html"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (archive({"../out": "1"}), "leads outside"),
        (archive({"/etc/out": "1"}), "leads outside"),
        (archive({}, {"link": "/etc/passwd"}), "leads outside"),
        (b"not a zip", "not a readable zip"),
    ],
    ids=["two dots", "absolute", "a link out", "no zip"],
)
def test_what_is_no_honest_zip_is_not_extracted(account: Account, body: bytes, told: str) -> None:
    site, target = Site(account), f"www-{uuid4().hex[:6]}"
    site.s3.create_bucket(Bucket=target)
    site.put(body)
    assert told in error_of(site.run(deploy(target, Extract="true")))["message"]
    assert site.keys(target) == []


def test_a_bucket_that_is_not_there(site: Site) -> None:
    error = error_of(site.run(deploy("no-such-bucket-anywhere", Extract="true")))
    assert "bucket" in error["message"]


# Lambda

ANSWERS = """
import boto3, json
def handler(event, context):
    job = event["CodePipeline.job"]
    api = boto3.client("codepipeline")
    asked = json.loads(job["data"]["actionConfiguration"]["configuration"]["UserParameters"])
    if asked.get("fail"):
        api.put_job_failure_result(jobId=job["id"], failureDetails={"type": "JobFailed", "message": "as asked"})
    elif asked.get("again") and "continuationToken" not in job["data"]:
        api.put_job_success_result(jobId=job["id"], continuationToken="second")
    else:
        keys = job["data"]["artifactCredentials"]
        place = job["data"]["inputArtifacts"][0]["location"]["s3Location"]
        s3 = boto3.client("s3", aws_access_key_id=keys["accessKeyId"], aws_secret_access_key=keys["secretAccessKey"], aws_session_token=keys["sessionToken"])
        size = len(s3.get_object(Bucket=place["bucketName"], Key=place["objectKey"])["Body"].read())
        token = job["data"].get("continuationToken", "none")
        api.put_job_success_result(jobId=job["id"], outputVariables={"size": str(size), "token": token})
"""


@pytest.fixture(scope="session")
def function(account: Account) -> str:
    role = create_role(account.aws, "answers", "lambda.amazonaws.com")
    account.aws.client("lambda").create_function(
        FunctionName="answers", Runtime="python3.11", Role=role, Timeout=20,
        Handler="index.handler", Code={"ZipFile": zipped("index.py", ANSWERS)},
    )  # fmt: skip
    return "answers"


def invoke(function: str, **asked: Any) -> dict[str, Any]:
    given = {"FunctionName": function, "UserParameters": json.dumps(asked)}
    return action("Invoke", "Lambda", "Call", given, inputs=["Code"])


def test_a_function_reads_the_artifact_and_gives_variables(site: Site, function: str) -> None:
    run = site.run(invoke(function))
    assert run["status"] == "Succeeded", run
    variables = run["output"]["outputVariables"]
    assert int(variables["size"]) > 0
    assert variables["token"] == "none"


def test_a_function_goes_on_with_a_continuation_token(site: Site, function: str) -> None:
    run = site.run(invoke(function, again=True))
    assert run["output"]["outputVariables"]["token"] == "second"


def test_a_function_fails_the_action(site: Site, function: str) -> None:
    assert error_of(site.run(invoke(function, fail=True))) == {"code": "JobFailed", "message": "as asked"}  # fmt: skip


def test_a_function_that_is_not_there(site: Site) -> None:
    assert "not found" in error_of(site.run(invoke("no-such-function")))["message"].lower()


@pytest.fixture
def shipped(account: Account, site: Site) -> Any:
    """A function whose alias `live` is its version 1, and a source with the code of the next."""
    api, name = account.aws.client("lambda"), f"shipped-{uuid4().hex[:6]}"
    role = create_role(account.aws, name, "lambda.amazonaws.com")
    api.create_function(
        FunctionName=name, Runtime="python3.11", Role=role, Handler="index.handler",
        Code={"ZipFile": zipped("index.py", "def handler(event, context): return 'old'")}, Publish=True,
    )  # fmt: skip
    api.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    site.put({"index.py": "def handler(event, context): return 'new'"}, key="code.zip")

    def start(**given: str) -> str:
        step = action("Deploy", "Lambda", "Ship", {"FunctionName": name, **given}, inputs=["Code"])
        source = site.source(S3ObjectKey="code.zip")
        return account.pipeline(source, {"name": "Step", "actions": [step]})

    start.api, start.name = api, name  # type: ignore[attr-defined]
    return start


def alias_of(shipped: Any) -> tuple[str, dict[str, float]]:
    alias = shipped.api.get_alias(FunctionName=shipped.name, Name="live")
    return alias["FunctionVersion"], alias.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})  # fmt: skip


def test_a_function_is_deployed_without_an_alias(account: Account, shipped: Any) -> None:
    # "AWS Lambda deploy action reference"
    run = account.action_run(shipped(), "Ship")
    assert run["output"]["outputVariables"] == {"FunctionVersion": "2"}
    answer = shipped.api.invoke(FunctionName=f"{shipped.name}:2")["Payload"].read()
    assert (json.loads(answer), alias_of(shipped)[0]) == ("new", "1")


@pytest.mark.parametrize("strategy", ["AllAtOnce", "Canary10Percent1Minute", "Linear50PercentEvery1Minute"])  # fmt: skip
def test_an_alias_is_shifted_to_the_new_version(
    account: Account, shipped: Any, strategy: str
) -> None:
    pipeline = shipped(FunctionAlias="live", DeployStrategy=strategy)
    seen = []

    def ended() -> dict[str, Any] | None:
        seen.append(alias_of(shipped)[1].get("2"))
        [latest, *_] = account.runs(pipeline) or [{"status": "InProgress"}]
        return latest if latest["status"] != "InProgress" else None

    assert eventually(ended)["status"] == "Succeeded"
    share = {"AllAtOnce": None, "Canary10Percent1Minute": 0.1}.get(strategy, 0.5)
    assert {share} <= set(seen) <= {None, share}
    assert alias_of(shipped) == ("2", {})


def test_an_alarm_gives_the_alias_its_version_back(account: Account, shipped: Any) -> None:
    cloudwatch = account.aws.client("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName=shipped.name, Namespace="N", MetricName="m", Statistic="Sum", Period=60, Threshold=1,
        EvaluationPeriods=1, ComparisonOperator="GreaterThanThreshold", TreatMissingData="ignore",
    )  # fmt: skip
    pipeline = shipped(
        FunctionAlias="live", DeployStrategy="Canary20Percent60Minutes", Alarms=shipped.name
    )
    eventually(lambda: alias_of(shipped) == ("1", {"2": 0.2}))
    cloudwatch.set_alarm_state(AlarmName=shipped.name, StateValue="ALARM", StateReason="a test")
    error = error_of(account.action_run(pipeline, "Ship"))
    cloudwatch.delete_alarms(AlarmNames=[shipped.name])
    assert (error["code"], error["message"]) == ("JobFailed", f"The alarm {shipped.name} is in state ALARM")  # fmt: skip
    assert alias_of(shipped) == ("1", {})


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"DeployStrategy": "AllAtOnce"}, "FunctionAlias"),
        ({"FunctionAlias": "live", "DeployStrategy": "Canary"}, "DeployStrategy Canary is none of"),
        ({"FunctionAlias": "live", "DeployStrategy": "Linear1PercentEvery60Minutes"}, "up to two days"),
        ({"FunctionAlias": "live", "Alarms": "no-such-alarm"}, "no-such-alarm does not exist"),
        ({"FunctionAlias": "dead"}, "dead"),
    ],
)  # fmt: skip
def test_a_deployment_to_a_function_that_cannot_be(
    account: Account, shipped: Any, given: dict[str, str], says: str
) -> None:
    assert says in error_of(account.action_run(shipped(**given), "Ship"))["message"]
    assert alias_of(shipped) == ("1", {})


@pytest.fixture(scope="session")
def machine(account: Account) -> str:
    """A state machine that gives what it gets, and fails if that has no `name`."""
    role = create_role(account.aws, "states", "states.amazonaws.com")
    named = {"Variable": "$.name", "IsPresent": True, "Next": "Good"}
    states = {
        "Named": {"Type": "Choice", "Choices": [named], "Default": "Bad"},
        "Good": {"Type": "Succeed"},
        "Bad": {"Type": "Fail", "Error": "NoName", "Cause": "there is no name"},
    }
    answer = account.aws.client("stepfunctions").create_state_machine(
        name="named", roleArn=role,
        definition=json.dumps({"StartAt": "Named", "States": states}),
    )  # fmt: skip
    return answer["stateMachineArn"]


def execute(machine: str, outputs: list[str] | None = None, **more: str) -> dict[str, Any]:
    given = {"StateMachineArn": machine, **more}
    return action(
        "Invoke", "StepFunctions", "Machine", given, inputs=["Code"], outputs=outputs or []
    )


def test_a_state_machine_gets_the_input_and_its_output_is_the_artifact(
    account: Account, site: Site, machine: str
) -> None:
    # "AWS Step Functions invoke action reference"
    given = {"Input": '{"name": "#{Site.VersionId}"}', "ExecutionNamePrefix": "mine"}
    run = site.run(execute(machine, ["Told"], **given))
    assert run["status"] == "Succeeded", run
    execution = run["output"]["outputVariables"]["ExecutionArn"]
    assert run["output"]["executionResult"]["externalExecutionId"] == execution
    assert execution.endswith(f":named:mine-{run['actionExecutionId']}")
    assert run["output"]["outputVariables"]["StateMachineArn"] == machine
    [told] = run["output"]["outputArtifacts"]
    body = site.s3.get_object(Bucket=told["s3location"]["bucket"], Key=told["s3location"]["key"])["Body"].read()  # fmt: skip
    with zipfile.ZipFile(io.BytesIO(body)) as made:
        assert json.loads(made.read("output.json")) == {"name": site.version}


def test_a_state_machine_reads_its_input_from_a_file(account: Account, site: Site, machine: str) -> None:  # fmt: skip
    version = site.put({"in/input.json": '{"name": "a file"}'}, key="input.zip")
    assert version
    source = site.source(S3ObjectKey="input.zip")
    step = execute(machine, InputType="FilePath", Input="in/input.json")
    pipeline = account.pipeline(source, {"name": "Step", "actions": [step]})
    run = account.action_run(pipeline, "Machine")
    assert run["status"] == "Succeeded", run


@pytest.mark.parametrize(
    ("given", "code", "says"),
    [
        ({}, "JobFailed", "FAILED: NoName: there is no name"),
        ({"Input": "{name}"}, "ConfigurationError", "Input is not JSON"),
        ({"InputType": "FilePath", "Input": "no.json"}, "ConfigurationError", "no.json"),
    ],
)
def test_a_state_machine_that_fails_the_action(
    site: Site, machine: str, given: dict[str, str], code: str, says: str
) -> None:
    error = error_of(site.run(execute(machine, **given)))
    assert error["code"] == code
    assert says in error["message"]


def test_a_state_machine_that_is_not_there(site: Site) -> None:
    missing = "arn:aws:states:us-east-1:123456789012:stateMachine:no-such"
    assert "no-such" in error_of(site.run(execute(missing)))["message"]


@pytest.mark.parametrize(("asked", "status"), [({}, "Succeeded"), ({"fail": True}, "Failed")])
def test_a_rule_that_asks_a_function(account: Account, site: Site, function: str, asked: dict[str, Any], status: str) -> None:  # fmt: skip
    rule = {
        "name": "Ask",
        "ruleTypeId": {"category": "Rule", "owner": "AWS", "provider": "LambdaInvoke", "version": "1"},
        "configuration": {"FunctionName": function, "UserParameters": json.dumps(asked)},
        "inputArtifacts": [{"name": "Code"}],
    }  # fmt: skip
    target = f"www-{uuid4().hex[:6]}"
    site.s3.create_bucket(Bucket=target)
    stage = {
        "name": "Step",
        "actions": [deploy(target, Extract="true")],
        "beforeEntry": {"conditions": [{"result": "FAIL", "rules": [rule]}]},
    }
    pipeline = account.pipeline(site.source(), stage)
    [run] = account.over(pipeline)
    assert run["status"] == status
    assert bool(site.keys(target)) == (status == "Succeeded")


# another pipeline


def test_a_pipeline_runs_another_one(account: Account, site: Site) -> None:
    target = f"www-{uuid4().hex[:6]}"
    site.s3.create_bucket(Bucket=target)
    inner = account.pipeline(
        site.source(),
        {
            "name": "Step",
            "actions": [deploy(target, Extract="true", ObjectKey="#{variables.STAGE}")],
        },
        variables=[{"name": "STAGE", "defaultValue": "dev"}],
    )
    account.over(inner)
    given = {"PipelineName": inner, "Variables": json.dumps([{"name": "STAGE", "value": "prod"}])}
    run = site.run(action("Invoke", "CodePipeline", "Call", given))
    assert run["status"] == "Succeeded", run
    assert "prod/index.html" in site.keys(target)
    execution = run["output"]["executionResult"]["externalExecutionId"]
    assert execution == account.runs(inner)[0]["pipelineExecutionId"]


def test_a_pipeline_whose_inner_one_fails(account: Account, site: Site) -> None:
    inner = account.pipeline(site.source(S3ObjectKey="none.zip"))
    account.over(inner)
    run = site.run(action("Invoke", "CodePipeline", "Call", {"PipelineName": inner}))
    assert "ended Failed" in error_of(run)["message"]


# CloudFormation

TEMPLATE = {
    "Parameters": {"Name": {"Type": "String"}},
    "Resources": {"Topic": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": {"Ref": "Name"}}}},
    "Outputs": {"Arn": {"Value": {"Ref": "Topic"}}},
}  # fmt: skip


class Stack:
    def __init__(self, account: Account, template: Any = TEMPLATE) -> None:
        self.name = f"s-{uuid4().hex[:6]}"
        self.api = account.aws.client("cloudformation")
        self.role = create_role(account.aws, self.name, "cloudformation.amazonaws.com")
        self.site = Site(account)
        self.site.put({"template.json": json.dumps(template), "config.json": json.dumps({"Parameters": {"Name": self.name}})})  # fmt: skip

    def run(self, mode: str, outputs: list[str] | None = None, **more: str) -> dict[str, Any]:
        given = {
            "ActionMode": mode, "StackName": self.name, "TemplatePath": "Code::template.json",
            "RoleArn": self.role, "ParameterOverrides": json.dumps({"Name": self.name}), **more,
        }  # fmt: skip
        return self.site.run(action("Deploy", "CloudFormation", "Stack", given, inputs=["Code"], outputs=outputs))  # fmt: skip

    @property
    def status(self) -> str:
        try:
            return self.api.describe_stacks(StackName=self.name)["Stacks"][0]["StackStatus"]
        except self.api.exceptions.ClientError:
            return "none"


@pytest.mark.slow
def test_a_stack_is_created_updated_and_deleted(account: Account) -> None:
    stack = Stack(account)
    run = stack.run("CREATE_UPDATE", ["Out"], OutputFileName="out.json")
    assert run["status"] == "Succeeded", run
    assert run["output"]["outputVariables"]["Arn"].endswith(stack.name)
    assert names(account.artifact(run, "Out")) == ["out.json"]
    assert stack.run("CREATE_UPDATE")["status"] == "Succeeded"
    assert stack.run("DELETE_ONLY")["status"] == "Succeeded"
    assert stack.status in ("none", "DELETE_COMPLETE")
    assert stack.run("DELETE_ONLY")["status"] == "Succeeded"


def test_a_stack_by_a_change_set(account: Account) -> None:
    stack = Stack(account)
    made = stack.run("CHANGE_SET_REPLACE", ChangeSetName="next", TemplateConfiguration="Code::config.json")  # fmt: skip
    assert made["status"] == "Succeeded", made
    run = stack.run("CHANGE_SET_EXECUTE", ChangeSetName="next")
    assert run["status"] == "Succeeded", run
    assert stack.status == "CREATE_COMPLETE"


def test_what_an_artifact_says_overrides_parameters(account: Account) -> None:
    stack = Stack(account)
    stack.site.put({"template.json": json.dumps(TEMPLATE), "names.json": json.dumps({"topic": "from-a-file"})})  # fmt: skip
    overrides = {"Name": {"Fn::GetParam": ["Code", "names.json", "topic"]}}
    run = stack.run("CREATE_UPDATE", ParameterOverrides=json.dumps(overrides))
    assert run["output"]["outputVariables"]["Arn"].endswith(":from-a-file")


@pytest.mark.parametrize(
    ("kind", "told"),
    [("AWS::CodeBuild::Project", "AWS::CodeBuild::Project"), ("AWS::ECS::Service", "AWS::ECS::Service")],
)  # fmt: skip
def test_a_template_with_what_the_lab_could_not_use(account: Account, kind: str, told: str) -> None:
    stack = Stack(account, {"Resources": {"One": {"Type": kind, "Properties": {}}}})
    assert told in error_of(stack.run("CREATE_UPDATE", ParameterOverrides="{}"))["message"]
    assert stack.status == "none"


def test_a_template_that_is_not_in_the_artifact(account: Account) -> None:
    run = Stack(account).run("CREATE_UPDATE", TemplatePath="Code::none.json")
    assert error_of(run)["message"] == "File [none.json] does not exist in artifact [Code]"


# what the lab does not run


@pytest.mark.parametrize(
    ("category", "provider", "configuration"),
    [
        ("Deploy", "ElasticBeanstalk", {"ApplicationName": "a", "EnvironmentName": "e"}),
        ("Invoke", "InspectorScan", {"InspectorRunMode": "SourceCodeScan"}),
    ],
)  # fmt: skip
def test_a_provider_that_is_not_here_fails_its_action(site: Site, category: str, provider: str, configuration: dict[str, str]) -> None:  # fmt: skip
    run = site.run(action(category, provider, "Go", configuration, inputs=["Code"]))
    error = error_of(run)
    assert error["code"] == "ConfigurationError"
    assert f"does not run {category} actions of provider {provider}" in error["message"]
