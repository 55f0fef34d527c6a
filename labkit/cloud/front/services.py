"""Which AWS services the local AWS has, and which of moto's operations it refuses.

moto answers some operations without doing their work. Those that would make a learner believe that
something ran are refused here, by name, until the lab really does them (rule R1).
"""

from __future__ import annotations

# signing name -> boto3 name
SERVICES = {
    "codecommit": "codecommit",
    "codepipeline": "codepipeline",
    "codebuild": "codebuild",
    "codedeploy": "codedeploy",
    "codeconnections": "codeconnections",
    "codestar-connections": "codestar-connections",
    "s3": "s3",
    "iam": "iam",
    "sts": "sts",
    "kms": "kms",
    "logs": "logs",
    "monitoring": "cloudwatch",
    "events": "events",
    "sns": "sns",
    "sqs": "sqs",
    "ssm": "ssm",
    "secretsmanager": "secretsmanager",
    "ec2": "ec2",
    "elasticloadbalancing": "elbv2",
    "autoscaling": "autoscaling",
    "lambda": "lambda",
    "cloudformation": "cloudformation",
    "states": "stepfunctions",
    "ecr": "ecr",
    "ecs": "ecs",
    "tagging": "resourcegroupstaggingapi",
}

# boto3 name -> operations that moto answers without doing them
REFUSED = {
    "ssm": {
        "SendCommand",
        "StartSession",
        "StartAutomationExecution",
        "CreateMaintenanceWindow",
    },
    "ec2": {
        "RequestSpotInstances",
        "RequestSpotFleet",
        "CreateFleet",
        "ImportImage",
        "GetPasswordData",
    },
    "ecs": {
        "RegisterContainerInstance",
        "StartTask",
        "CreateCapacityProvider",
        "PutClusterCapacityProviders",
        "ExecuteCommand",
    },
    "cloudformation": {"CreateStackSet", "CreateStackInstances", "RegisterType"},
    "ecr": {"StartImageScan", "CreatePullThroughCacheRule", "PutReplicationConfiguration"},
    "lambda": {
        "CreateEventSourceMapping",
        "CreateFunctionUrlConfig",
        "InvokeAsync",
        "InvokeWithResponseStream",
        "PublishLayerVersion",
    },
    "events": {"StartReplay", "CreateApiDestination", "CreatePartnerEventSource"},
    "cloudwatch": {"PutAnomalyDetector", "PutMetricStream"},
    "logs": {"StartQuery", "CreateExportTask", "CreateDelivery"},
}
