"""An account with one of each resource that has a policy or tags, for the tests of what IAM knows of them.

Through boto3, in moto as the test's own process has it; our own services, in their backends.
"""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import boto3

import labkit.cloud.cloudformation  # else moto takes seconds to import its own
import labkit.cloud.codebuild.iam
import labkit.cloud.codecommit.iam
import labkit.cloud.codeconnections.iam
import labkit.cloud.codedeploy.iam
import labkit.cloud.codepipeline.iam  # noqa: F401
from labkit.cloud.codebuild.backend import codebuild_backends
from labkit.cloud.codebuild.models import Project
from labkit.cloud.codebuild.reports.models import ReportGroup
from labkit.cloud.codecommit.repositories import Repository, codecommit_backends
from labkit.cloud.codeconnections.models import Connection, connections_backends
from labkit.cloud.codedeploy.models import Application, Group, codedeploy_backends
from labkit.cloud.codepipeline.models import Pipeline, codepipeline_backends

ACCOUNT, OTHER, REGION = "123456789012", "444455556666", "us-east-1"
AT = f"{REGION}:{ACCOUNT}"
RELEASE = f"arn:aws:iam::{OTHER}:role/release"
TAGS = {"team": "shop"}
UPPER, LOWER = [{"Key": "team", "Value": "shop"}], [{"key": "team", "value": "shop"}]
TEMPLATE = json.dumps({"Resources": {"Jobs": {"Type": "AWS::SQS::Queue"}}})


def made() -> dict[str, Any]:
    """Make it; the ids and ARNs that could not be known before, by their names.

    Policies let the other account's role in; tags are `TAGS`.
    """
    _of_iam()
    _of_ours()
    return _with_policies() | _of_compute() | _of_others()


def client(service: str) -> Any:
    return boto3.client(service, region_name=REGION)


def policy(actions: Any, resources: Any = "*", effect: str = "Allow", **more: Any) -> str:
    """One that names the other account's role."""
    statement = {"Sid": "release", "Effect": effect, "Principal": {"AWS": RELEASE}}
    statement |= {"Action": actions, "Resource": resources, **more}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def _of_iam() -> None:
    iam = client("iam")
    assume = json.loads(policy(["sts:AssumeRole", "sts:TagSession"]))
    del assume["Statement"][0]["Resource"]
    trust, nobodys = json.dumps(assume), json.dumps({**assume, "Statement": []})
    iam.create_role(RoleName="deployer", Path="/ci/", AssumeRolePolicyDocument=trust, Tags=UPPER)
    iam.create_role(RoleName="builder", AssumeRolePolicyDocument=nobodys)
    iam.create_user(UserName="alice", Path="/staff/", Tags=UPPER)
    allowing = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}  # fmt: skip
    iam.create_policy(PolicyName="cap", PolicyDocument=json.dumps(allowing), Tags=UPPER)
    iam.create_instance_profile(InstanceProfileName="host", Tags=UPPER)


def _with_policies() -> dict[str, Any]:
    """Of the services whose resources have policies."""
    s3, kms, sns, sqs, ecr, events, logs = map(
        client, ("s3", "kms", "sns", "sqs", "ecr", "events", "logs")
    )
    for bucket in ("shop", "plain", "broken"):
        s3.create_bucket(Bucket=bucket)
    s3.put_bucket_policy(
        Bucket="shop",
        Policy=policy(["s3:Get*", "s3:List*"], ["arn:aws:s3:::shop", "arn:aws:s3:::shop/*"]),
    )
    s3.put_bucket_policy(Bucket="broken", Policy='{"Statement": [')
    s3.put_bucket_tagging(Bucket="shop", Tagging={"TagSet": UPPER})
    s3.put_bucket_versioning(Bucket="shop", VersioningConfiguration={"Status": "Enabled"})
    first = s3.put_object(Bucket="shop", Key="a.zip", Tagging="stage=test")["VersionId"]
    s3.put_object(Bucket="shop", Key="a.zip", Tagging="stage=prod")
    s3.put_object(Bucket="shop", Key="gone.zip")
    s3.delete_object(Bucket="shop", Key="gone.zip")
    key, granted, default = (
        kms.create_key(**given)["KeyMetadata"]
        for given in (
            {"Policy": policy("kms:Decrypt"), "Tags": [{"TagKey": "team", "TagValue": "shop"}]},
            {},
            {},
        )
    )
    kms.create_grant(
        KeyId=granted["KeyId"],
        GranteePrincipal=RELEASE,
        Operations=["Decrypt", "DescribeKey"],
        Constraints={"EncryptionContextSubset": {"App": "${shop}"}},
    )
    topic = sns.create_topic(Name="orders", Tags=UPPER)["TopicArn"]
    sns.set_topic_attributes(
        TopicArn=topic, AttributeName="Policy", AttributeValue=policy("sns:Publish", topic)
    )
    sns.create_topic(Name="plain")
    shared = sns.create_topic(Name="shared")["TopicArn"]
    sns.add_permission(
        TopicArn=shared, Label="release", AWSAccountId=[OTHER], ActionName=["Publish"]
    )
    sqs.create_queue(
        QueueName="orders", Attributes={"Policy": policy("sqs:SendMessage")}, tags=TAGS
    )
    sqs.create_queue(QueueName="plain")
    url = sqs.create_queue(QueueName="shared")["QueueUrl"]
    sqs.add_permission(
        QueueUrl=url, Label="release", AWSAccountIds=[OTHER], Actions=["SendMessage"]
    )
    for name in ("shop/web", "plain"):
        ecr.create_repository(repositoryName=name, tags=UPPER)
    without = json.loads(policy("ecr:BatchGetImage"))
    del without["Statement"][0]["Resource"]
    ecr.set_repository_policy(repositoryName="shop/web", policyText=json.dumps(without))
    events.put_permission(
        Policy=policy("events:PutEvents", f"arn:aws:events:{AT}:event-bus/default")
    )
    events.create_event_bus(Name="shop", Tags=UPPER)
    events.put_permission(
        EventBusName="shop", Policy=policy("events:PutRule", f"arn:aws:events:{AT}:rule/shop/*")
    )
    events.put_rule(Name="nightly", EventBusName="shop", EventPattern="{}", Tags=UPPER)
    logs.create_log_group(logGroupName="builds", tags=TAGS)
    logs.put_resource_policy(policyName="a", policyDocument=policy("logs:PutLogEvents"))
    logs.put_resource_policy(
        policyName="b",
        policyDocument=policy("logs:*", f"arn:aws:logs:{AT}:log-group:audit:*", "Deny"),
    )
    secrets = client("secretsmanager")
    secret = secrets.create_secret(Name="db", SecretString="x", Tags=UPPER)["ARN"]
    secrets.put_resource_policy(
        SecretId=secret, ResourcePolicy=policy("secretsmanager:GetSecretValue")
    )
    _of_lambda()
    return {
        "first": first,
        "key": key["Arn"],
        "granted_key": granted["Arn"],
        "default_key": default["Arn"],
        "secret": secret,
    }


def _of_lambda() -> None:
    functions = client("lambda")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("hook.py", "")
    functions.create_function(
        FunctionName="hook",
        Runtime="python3.12",
        Handler="hook.run",
        Role=f"arn:aws:iam::{ACCOUNT}:role/builder",
        Code={"ZipFile": packed.getvalue()},
        Tags=TAGS,
    )
    functions.publish_version(FunctionName="hook")
    functions.update_function_configuration(FunctionName="hook", Description="new")
    functions.publish_version(FunctionName="hook")
    functions.create_alias(FunctionName="hook", Name="live", FunctionVersion="1")
    for action, more in (
        ("GetFunction", {}),
        ("InvokeFunction", {"Qualifier": "live"}),
        ("InvokeFunction", {"Qualifier": "2"}),
    ):
        functions.add_permission(
            FunctionName="hook",
            StatementId=f"{action}-{more.get('Qualifier', 'all')}",
            Action=f"lambda:{action}",
            Principal=RELEASE,
            **more,
        )


def _of_compute() -> dict[str, Any]:
    ec2, scaling, balancers, ecs = map(client, ("ec2", "autoscaling", "elbv2", "ecs"))
    instance = ec2.run_instances(
        ImageId="ami-12c6146b",
        InstanceType="t3.micro",
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": UPPER}],
    )["Instances"][0]["InstanceId"]
    ec2.create_key_pair(
        KeyName="admin",
        KeyType="ed25519",
        TagSpecifications=[{"ResourceType": "key-pair", "Tags": UPPER}],
    )
    image = ec2.create_image(InstanceId=instance, Name="golden")["ImageId"]
    ec2.create_tags(Resources=[image], Tags=UPPER)
    subnets = [one["SubnetId"] for one in ec2.describe_subnets()["Subnets"][:2]]
    scaling.create_launch_configuration(
        LaunchConfigurationName="web", ImageId="ami-12c6146b", InstanceType="t3.micro"
    )
    scaling.create_auto_scaling_group(
        AutoScalingGroupName="web",
        LaunchConfigurationName="web",
        MinSize=0,
        MaxSize=1,
        VPCZoneIdentifier=subnets[0],
        Tags=[{**UPPER[0], "PropagateAtLaunch": True}],
    )
    ecs.create_cluster(clusterName="shop", tags=LOWER)
    ecs.register_task_definition(
        family="web",
        containerDefinitions=[{"name": "web", "image": "web", "memory": 128}],
        requiresCompatibilities=["FARGATE"],
        networkMode="awsvpc",
        cpu="256",
        memory="512",
        tags=LOWER,
    )
    ecs.create_service(
        cluster="shop", serviceName="web", taskDefinition="web", desiredCount=0, tags=LOWER
    )
    network = {"awsvpcConfiguration": {"subnets": subnets[:1], "securityGroups": []}}
    run = {"cluster": "shop", "taskDefinition": "web", "launchType": "FARGATE"}
    return {
        "instance": instance,
        "image": image,
        "group": scaling.describe_auto_scaling_groups()["AutoScalingGroups"][0][
            "AutoScalingGroupARN"
        ],
        "load_balancer": balancers.create_load_balancer(Name="web", Subnets=subnets, Tags=UPPER)[
            "LoadBalancers"
        ][0]["LoadBalancerArn"],
        "target_group": balancers.create_target_group(Name="web", TargetType="lambda", Tags=UPPER)[
            "TargetGroups"
        ][0]["TargetGroupArn"],
        "task": ecs.run_task(**run, networkConfiguration=network, tags=LOWER)["tasks"][0][
            "taskArn"
        ],
    }


def _of_others() -> dict[str, Any]:
    ssm, watch, machines, stacks = map(
        client, ("ssm", "cloudwatch", "stepfunctions", "cloudformation")
    )
    for name in ("/shop/port", "size"):
        ssm.put_parameter(Name=name, Value="1", Type="String", Tags=UPPER)
    watch.put_metric_alarm(
        AlarmName="errors",
        ComparisonOperator="GreaterThanThreshold",
        EvaluationPeriods=1,
        MetricName="Errors",
        Namespace="Shop",
        Period=60,
        Statistic="Sum",
        Threshold=0,
        Tags=UPPER,
    )
    machines.create_state_machine(
        name="release",
        roleArn=f"arn:aws:iam::{ACCOUNT}:role/builder",
        definition=json.dumps({"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}),
        tags=LOWER,
    )
    made = stacks.create_stack(StackName="shop", TemplateBody=TEMPLATE, Tags=UPPER)
    return {"stack": made["StackId"]}


def _of_ours() -> None:
    builds = codebuild_backends[ACCOUNT][REGION]
    builds.projects["shop"] = Project({"name": "shop", "tags": LOWER}, "arn")
    reports = f"arn:aws:codebuild:{AT}:report-group/tests"
    builds.report_groups[reports] = ReportGroup(reports, "TEST", {}, LOWER)
    builds.policies[reports] = policy("codebuild:BatchGetReportGroups", reports)
    repositories = codecommit_backends[ACCOUNT][REGION].repositories
    repositories["shop"] = Repository("shop", None, ACCOUNT, REGION, None, tags=TAGS)  # type: ignore[arg-type]
    connections_backends[ACCOUNT][REGION].connections["c-1"] = Connection(
        "arn", "git", "GitHub", ACCOUNT, tags=TAGS
    )
    group = Group("shop", {}, tags={"stage": "prod"})
    codedeploy_backends[ACCOUNT][REGION].applications["shop"] = Application(
        "shop", tags=TAGS, groups={"prod": group}
    )
    codepipeline_backends[ACCOUNT][REGION].pipelines["shop"] = Pipeline(
        {"name": "shop"}, REGION, ACCOUNT, tags=TAGS
    )
