"""The environments of the lesson on gates: what it makes beside the pieces, and how that goes again.

AWS pages: "Amazon S3 deploy action reference"; "Manage approval actions in CodePipeline"; "Deleting
an IAM user".
"""

from __future__ import annotations

from labkit.lab import Lab
from labkit.provision.aws import delete_user, missing_is_fine


def sites(lab: Lab) -> str:
    """The bucket that holds the environments, a folder each."""
    return f"{lab.name}-sites-{lab.account_id}-{lab.region}"


def delete_environments(lab: Lab) -> None:
    """Delete the bucket, the approvals' topic and queue, the alarm, the developer and the connection."""
    _delete_bucket(lab)
    _delete_approvals(lab)
    lab.client("cloudwatch").delete_alarms(AlarmNames=[f"{lab.name}-errors"])
    delete_user(lab, f"{lab.name}-developer")
    _delete_connections(lab)
    with missing_is_fine():
        lab.client("logs").delete_log_group(logGroupName=f"/aws/codepipeline/{lab.pipeline}")


def _delete_bucket(lab: Lab) -> None:
    s3, bucket = lab.client("s3"), sites(lab)
    with missing_is_fine():
        for item in s3.list_objects_v2(Bucket=bucket).get("Contents", []):
            s3.delete_object(Bucket=bucket, Key=item["Key"])
        s3.delete_bucket(Bucket=bucket)


def _delete_approvals(lab: Lab) -> None:
    sqs, name = lab.client("sqs"), f"{lab.name}-approvals"
    lab.client("sns").delete_topic(TopicArn=lab.arn("sns", name))
    with missing_is_fine():
        sqs.delete_queue(QueueUrl=sqs.get_queue_url(QueueName=name)["QueueUrl"])


def _delete_connections(lab: Lab) -> None:
    connections, own = lab.client("codestar-connections"), f"{lab.name}-"
    for one in connections.list_connections()["Connections"]:
        if one["ConnectionName"].startswith(own):
            connections.delete_connection(ConnectionArn=one["ConnectionArn"])
    for one in connections.list_hosts()["Hosts"]:
        if one["Name"].startswith(own):
            connections.delete_host(HostArn=one["HostArn"])
