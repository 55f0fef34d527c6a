"""Does the learner's AWS really have what a lesson leaves? One function for each piece.

Each asks AWS anew through boto3 and believes nothing else: not what a notebook's variables say, nor
that a call returned. `check.source(lab)` prints what holds, and what to do about the rest.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from labkit import observe, show
from labkit.lab import Lab
from labkit.provision import build as builds
from labkit.provision import deploy as deploying
from labkit.provision import pipeline as pipelines
from labkit.teach.account_checks import accounts
from labkit.teach.answers import step
from labkit.teach.depth_checks import build_in_depth, build_speed
from labkit.teach.function_checks import functions
from labkit.teach.gate_checks import control, environments
from labkit.teach.hook_checks import hooks
from labkit.teach.host_checks import hosts
from labkit.teach.privilege_checks import least_privilege
from labkit.teach.protection_checks import protection
from labkit.teach.reach_checks import reach
from labkit.teach.result import Result, line
from labkit.teach.role_checks import roles
from labkit.teach.strategy_checks import strategies

__all__ = [
    "accounts",
    "artifacts",
    "build",
    "build_in_depth",
    "build_speed",
    "control",
    "deploy",
    "environments",
    "functions",
    "hooks",
    "hosts",
    "least_privilege",
    "pipeline",
    "protection",
    "reach",
    "release",
    "roles",
    "source",
    "step",
    "strategies",
]


def source(lab: Lab) -> Result:
    """The repository, its branch, and in it what the later stages read."""
    codecommit, name = lab.client("codecommit"), lab.repository

    def file(path: str) -> str:
        answer = codecommit.get_file(repositoryName=name, filePath=path, commitSpecifier=lab.branch)
        return str(answer["fileContent"].decode())

    def metadata() -> dict[str, Any]:
        found: dict[str, Any] = codecommit.get_repository(repositoryName=name)["repositoryMetadata"]
        return found

    return Result(
        "source",
        (
            line(f"CodeCommit has the repository {name}", "create it", metadata),
            line(
                f"the branch {lab.branch} has a commit",
                f"commit and push to {lab.branch}",
                lambda: codecommit.get_branch(repositoryName=name, branchName=lab.branch),
            ),
            line(
                f"{lab.branch} is the default branch",
                "call update_default_branch",
                lambda: metadata()["defaultBranch"] == lab.branch,
            ),
            line(
                "buildspec.yml is in it, for CodeBuild",
                "push the sample app",
                lambda: "phases:" in file("buildspec.yml"),
            ),
            line(
                "appspec.yml is in it, for CodeDeploy",
                "push the sample app",
                lambda: "hooks:" in file("appspec.yml"),
            ),
            line(
                "site.json is in it, and is JSON with a version",
                "fix site.json and push",
                lambda: json.loads(file("site.json"))["version"],
            ),
        ),
    )


def build(lab: Lab) -> Result:
    """The project, the role it acts as, and where its log goes."""
    project = _project(lab)
    group = builds.log_group(lab)

    def retention() -> int:
        groups = lab.client("logs").describe_log_groups(logGroupNamePrefix=group)["logGroups"]
        return int(next(one["retentionInDays"] for one in groups if one["logGroupName"] == group))

    def last_status() -> str:
        codebuild = lab.client("codebuild")
        ids = codebuild.list_builds_for_project(projectName=lab.project)["ids"]
        return codebuild.batch_get_builds(ids=ids[:1])["builds"][0]["buildStatus"] if ids else ""

    return Result(
        "build",
        (
            line(f"CodeBuild has the project {lab.project}", "create it", project),
            line(
                "it takes its source from the pipeline and gives the artifact back",
                "set source and artifacts to the type CODEPIPELINE",
                lambda: (
                    (project()["source"]["type"], project()["artifacts"]["type"])
                    == ("CODEPIPELINE", "CODEPIPELINE")
                ),
            ),
            line(
                f"it acts as {lab.role('codebuild')}",
                "call update_project with the serviceRole",
                lambda: project()["serviceRole"] == lab.role_arn("codebuild"),
            ),
            line(
                f"the log group {group} keeps its lines for a limited time",
                "create it and call put_retention_policy",
                lambda: retention() > 0,
            ),
            line(
                "the last build did not fail",
                "read its log with show.log(lab), fix the source, and build again",
                lambda: project() and last_status() in ("", "SUCCEEDED", "IN_PROGRESS"),
            ),
        ),
    )


def _project(lab: Lab) -> Callable[[], dict[str, Any]]:
    codebuild = lab.client("codebuild")
    return lambda: codebuild.batch_get_projects(names=[lab.project])["projects"][0]


def artifacts(lab: Lab) -> Result:
    """The bucket: ours, closed, encrypted, versioned, and emptied by itself."""
    s3, bucket = lab.client("s3"), lab.bucket

    def closed() -> bool:
        block = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
        return len(block) == 4 and all(block.values())

    def encrypted() -> bool:
        answer = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]
        default = answer["Rules"][0]["ApplyServerSideEncryptionByDefault"]
        return default["SSEAlgorithm"] in ("AES256", "aws:kms", "aws:kms:dsse")

    def expires() -> bool:
        rules = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
        return any(
            rule["Status"] == "Enabled"
            and rule.get("Filter", {}).get("Prefix", "") == ""
            and rule["Expiration"]["Days"] > 0
            for rule in rules
            if "Expiration" in rule
        )

    return Result(
        "artifacts",
        (
            line(f"S3 has the bucket {bucket}", "create it", lambda: s3.head_bucket(Bucket=bucket)),
            line("nobody outside can read it", "call put_public_access_block", closed),
            line("what is stored is encrypted", "call put_bucket_encryption", encrypted),
            line(
                "it keeps versions",
                "call put_bucket_versioning",
                lambda: s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled",
            ),
            line("old artifacts expire", "call put_bucket_lifecycle_configuration", expires),
        ),
    )


def deploy(lab: Lab) -> Result:
    """The hosts, and a deployment group that finds them and can go back."""
    codedeploy = lab.client("codedeploy")

    def group() -> dict[str, Any]:
        found: dict[str, Any] = codedeploy.get_deployment_group(
            applicationName=lab.application, deploymentGroupName=lab.fleet
        )["deploymentGroupInfo"]
        return found

    def running() -> list[dict[str, Any]]:
        return [one for one in deploying.instances(lab) if one["State"]["Name"] == "running"]

    def profiles() -> set[str]:
        return {one["IamInstanceProfile"]["Arn"].split("/")[-1] for one in running()}

    def goes_back() -> bool:
        settings = group()["autoRollbackConfiguration"]
        return settings["enabled"] and "DEPLOYMENT_FAILURE" in settings["events"]

    return Result(
        "deploy",
        (
            line(
                f"two instances run, tagged {deploying.FLEET_TAG}={lab.fleet}",
                "run deploy.create_instances(lab)",
                lambda: len(running()) >= deploying.INSTANCES,
            ),
            line(
                f"they act as {lab.role('instance')}",
                "run them with this instance profile",
                lambda: profiles() == {lab.role("instance")},
            ),
            line(
                f"CodeDeploy has the application {lab.application}",
                "create it",
                lambda: codedeploy.get_application(applicationName=lab.application),
            ),
            line(
                f"the deployment group {lab.fleet} finds the instances by their tag",
                "create it with these ec2TagFilters",
                lambda: any(
                    (tag["Key"], tag["Value"]) == (deploying.FLEET_TAG, lab.fleet)
                    for tag in group()["ec2TagFilters"]
                ),
            ),
            line(
                f"it acts as {lab.role('codedeploy')}",
                "call update_deployment_group with the serviceRoleArn",
                lambda: group()["serviceRoleArn"] == lab.role_arn("codedeploy"),
            ),
            line(
                "a failed deployment goes back to the last good one",
                "set autoRollbackConfiguration",
                goes_back,
            ),
        ),
    )


def pipeline(lab: Lab) -> Result:
    """The pipeline's stages, and the rule that starts it after a push."""
    codepipeline, events = lab.client("codepipeline"), lab.client("events")
    rule = pipelines.rule_name(lab)

    def declared() -> dict[str, Any]:
        found: dict[str, Any] = codepipeline.get_pipeline(name=lab.pipeline)["pipeline"]
        return found

    def configured(provider: str, **wanted: str) -> bool:
        return any(
            action["actionTypeId"]["provider"] == provider
            and wanted.items() <= action["configuration"].items()
            for stage in declared()["stages"]
            for action in stage["actions"]
        )

    def hears() -> bool:
        known = events.describe_rule(Name=rule)
        pattern = json.loads(known["EventPattern"])
        return bool(
            known["State"] == "ENABLED"
            and pattern["source"] == ["aws.codecommit"]
            and pattern["resources"] == [lab.arn("codecommit", lab.repository)]
            and pattern["detail"]["referenceName"] == [lab.branch]
        )

    def starts() -> bool:
        targets = events.list_targets_by_rule(Rule=rule)["Targets"]
        wanted = (lab.arn("codepipeline", lab.pipeline), lab.role_arn("events"))
        return wanted in [(target["Arn"], target.get("RoleArn")) for target in targets]

    return Result(
        "pipeline",
        (
            line(f"CodePipeline has {lab.pipeline}", "create it", declared),
            line(
                f"it acts as {lab.role('codepipeline')}, and keeps artifacts in {lab.bucket}",
                "call update_pipeline with this roleArn and artifactStore",
                lambda: (
                    (declared()["roleArn"], declared()["artifactStore"]["location"])
                    == (lab.role_arn("codepipeline"), lab.bucket)
                ),
            ),
            line(
                f"its source is {lab.branch} of {lab.repository}, without polling",
                "fix the CodeCommit action",
                lambda: configured(
                    "CodeCommit",
                    RepositoryName=lab.repository,
                    BranchName=lab.branch,
                    PollForSourceChanges="false",
                ),
            ),
            line(
                f"it builds with {lab.project}",
                "fix the CodeBuild action",
                lambda: configured("CodeBuild", ProjectName=lab.project),
            ),
            line(
                f"it deploys to {lab.fleet}",
                "fix the CodeDeploy action",
                lambda: configured(
                    "CodeDeploy",
                    ApplicationName=lab.application,
                    DeploymentGroupName=lab.fleet,
                ),
            ),
            line(
                f"the rule {rule} hears about every push", "run pipeline.create_trigger(lab)", hears
            ),
            line("and starts the pipeline", "run pipeline.create_trigger(lab)", starts),
        ),
    )


def release(lab: Lab) -> Result:
    """The newest commit went all the way, and every host serves it."""
    codecommit = lab.client("codecommit")

    def tip() -> str:
        answer = codecommit.get_branch(repositoryName=lab.repository, branchName=lab.branch)
        return str(answer["branch"]["commitId"])

    def last() -> observe.Snapshot:
        newest = observe.latest_execution(lab)
        if newest is None:
            raise LookupError("no execution")
        return observe.snapshot(lab, newest)

    def served() -> bool:
        commit, sites = tip()[:8], show.sites(lab)
        return len(sites) > 0 and all(site.commit == commit for site in sites)

    return Result(
        "release",
        (
            line(
                "the last execution succeeded",
                "look at show.pipeline(lab), and push the fix",
                lambda: last().status == "Succeeded",
            ),
            line(
                f"it released the newest commit of {lab.branch}",
                "push, or run pipeline.start(lab)",
                lambda: last().commit == tip(),
            ),
            line(
                "every host serves that commit",
                "look at show.sites(lab) and observe.deployment_outcomes(lab)",
                served,
            ),
        ),
    )
