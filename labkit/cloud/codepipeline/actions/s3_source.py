"""Source action S3: one object of a versioned bucket becomes the execution's source artifact.

AWS page: "Amazon S3 source action reference".
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from labkit.cloud.codepipeline.action import Action, ActionFailed, kept


def run(action: Action) -> None:
    """Copy the newest version, or the one that the execution was started with."""
    bucket, key = action.configuration["S3Bucket"], _key(action)
    s3 = action.client("s3")
    if s3.get_bucket_versioning(Bucket=bucket).get("Status") != "Enabled":
        raise ActionFailed(
            "ConfigurationError",
            f"The S3 bucket {bucket} of the source action does not have versioning enabled. "
            "Enable versioning on the bucket, and then try again",
        )
    found = _object(s3, bucket, key, action.source_revision("S3_OBJECT_VERSION_ID"))
    version, tag = found["VersionId"], found["ETag"].strip('"')
    artifact = replace(action.run.outputs[0], key=f"{action.run.outputs[0].key}.zip")
    action.run.outputs = [artifact]
    with kept(found["Body"]) as file:
        action.put_artifact(artifact, file, version)
    action.run.variables = {
        "BucketName": bucket,
        "ETag": tag,
        "ObjectKey": key,
        "VersionId": version,
    }
    told = found["Metadata"].get("codepipeline-artifact-revision-summary")
    action.set_revision(version, told or f"Amazon S3 version id: {version}")


def _key(action: Action) -> str:
    override = action.source_revision("S3_OBJECT_KEY")
    if override is None:
        return action.configuration["S3ObjectKey"]
    if action.configuration.get("AllowOverrideForS3ObjectKey") != "true":
        raise ActionFailed(
            "ConfigurationError",
            "The object key was overridden, but AllowOverrideForS3ObjectKey is not true",
        )
    return override


def _object(s3: Any, bucket: str, key: str, version: str | None) -> dict[str, Any]:
    extra = {"VersionId": version} if version else {}
    try:
        found: dict[str, Any] = s3.get_object(Bucket=bucket, Key=key, **extra)
        return found
    except (s3.exceptions.NoSuchKey, s3.exceptions.ClientError) as error:
        if error.response["Error"]["Code"] not in ("NoSuchKey", "NoSuchVersion", "404"):
            raise
        what = f" in version {version}" if version else ""
        raise ActionFailed(
            "ConfigurationError", f"The object {key} does not exist{what} in the S3 bucket {bucket}"
        ) from error
