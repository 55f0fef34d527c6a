"""Source action ECR: an image's digest and URI become the execution's source artifact.

AWS page: "Amazon ECR source action reference".
"""

from __future__ import annotations

import io
import json
import zipfile

from botocore.exceptions import ClientError

from labkit.cloud.codepipeline.action import Action, ActionFailed


def run(action: Action) -> None:
    """Write imageDetail.json of the image that the tag names, or of an overridden digest."""
    repository = action.configuration["RepositoryName"]
    tag = action.configuration.get("ImageTag") or "latest"
    digest = action.source_revision("IMAGE_DIGEST")
    image = {"imageDigest": digest} if digest else {"imageTag": tag}
    ecr = action.client("ecr")
    try:
        [found] = ecr.describe_images(repositoryName=repository, imageIds=[image])["imageDetails"]
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("ImageNotFoundException", "RepositoryNotFoundException"):  # fmt: skip
            raise
        raise ActionFailed(
            "ConfigurationError", f"No image {digest or tag} was found in repository {repository}"
        ) from error
    registry = found["registryId"]
    uri = f"{registry}.dkr.ecr.{action.region}.amazonaws.com/{repository}@{found['imageDigest']}"
    detail = {
        "ImageSizeInBytes": str(found.get("imageSizeInBytes", 0)),
        "ImageDigest": found["imageDigest"],
        "Version": "1.0",
        "ImagePushedAt": str(found.get("imagePushedAt", "")),
        "RegistryId": registry,
        "RepositoryName": repository,
        "ImageURI": uri,
        "ImageTags": found.get("imageTags", []),
    }
    action.put_artifact(action.run.outputs[0], _zipped(detail), found["imageDigest"])
    action.run.variables = {
        "RegistryId": registry,
        "RepositoryName": repository,
        "ImageTag": tag,
        "ImageDigest": found["imageDigest"],
        "ImageURI": uri,
    }
    action.set_revision(found["imageDigest"], uri)


def _zipped(detail: dict[str, object]) -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("imageDetail.json", json.dumps(detail))
    return body.getvalue()
