"""Which AWS services the local AWS has; `operations` says which of moto's operations it lets through."""

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
    "access-analyzer": "accessanalyzer",
    "sts": "sts",
    "kms": "kms",
    "logs": "logs",
    "monitoring": "cloudwatch",
    "events": "events",
    "sns": "sns",
    "sqs": "sqs",
    "organizations": "organizations",
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
    "cloudtrail": "cloudtrail",
    "tagging": "resourcegroupstaggingapi",
}
