"""Downloads of blobs: GetDownloadUrlForLayer, which moto's ECR lacks, and who uses it.

A blob lies in the lab's state directory. Who asks for it is given a presigned URL of S3, of a bucket
that belongs to an account of AWS's own, as on AWS.

AWS page: "GetDownloadUrlForLayer" in the ECR API Reference.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from moto.core.responses import ActionResult
from moto.ecr.responses import ECRResponse
from moto.s3.exceptions import BucketAlreadyExists
from moto.s3.models import s3_backends

from labkit.cloud.shared import identity, runtime
from labkit.cloud.shared.clients import Session
from labkit.cloud.shared.service import AWSError

ECR = "ecr.amazonaws.com"
OWNER = "000000000000"  # of the bucket; the learner's ListBuckets does not show it
VALID_SECONDS = 3600


def start() -> None:
    """Give moto's ECR the operation: called once, when the local AWS starts."""

    def get_download_url_for_layer(self: Any) -> ActionResult:
        name, digest = self._get_param("repositoryName"), self._get_param("layerDigest")
        repository = self.ecr_backend._get_repository(name, self._get_param("registryId"))
        if digest not in repository.layers:
            raise AWSError(
                "LayersNotFoundException",
                f"The layer with digest '{digest}' does not exist in the repository with name "
                f"'{name}' in the registry with id '{repository.registry_id}'",
            )
        url = _presigned(digest, self.region)
        return ActionResult({"downloadUrl": url, "layerDigest": digest})

    ECRResponse.get_download_url_for_layer = get_download_url_for_layer  # type: ignore[assignment,method-assign]


def blob(digest: str) -> Path:
    """Where a blob lies."""
    return runtime.current().directory("ecr", "blobs") / digest.removeprefix("sha256:")


@contextlib.contextmanager
def fetched(session: Session, image: Mapping[str, Any], digest: str) -> Iterator[Path]:
    """Download one blob of an image, as whom `session` acts; the file is there until the end.

    Args:
        image: the `account`, `region` and `repository` of the image's URI.

    Raises:
        botocore.exceptions.ClientError: the role may not, or there is no such blob.
        OSError: the download failed, or is not what the digest says.
    """
    url = (
        session.in_region(image["region"])
        .client("ecr")
        .get_download_url_for_layer(
            registryId=image["account"], repositoryName=image["repository"], layerDigest=digest
        )["downloadUrl"]
    )
    with tempfile.NamedTemporaryFile(dir=runtime.current().directory("ecr", "pulls")) as file:
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(url) as answer:
            shutil.copyfileobj(answer, file)
        file.flush()
        file.seek(0)
        found = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != f"sha256:{found}":
            raise OSError(f"the layer {digest} is damaged: its digest is sha256:{found}")
        yield Path(file.name)


def _presigned(digest: str, region: str) -> str:
    bucket = f"prod-{region}-starport-layer-bucket"
    backend = s3_backends[OWNER]["aws"]
    if bucket not in backend.buckets:
        with contextlib.suppress(BucketAlreadyExists):  # another thread was first
            backend.create_bucket(bucket, region)
    backend.put_object(bucket, digest, blob(digest).read_bytes())
    lab = runtime.current()
    own = identity.service_principal(ECR, lab.account_id)
    keys = Credentials(own.access_key_id, own.secret_access_key)
    request = AWSRequest("GET", f"{lab.endpoint_url}/{bucket}/{quote(digest)}")
    S3SigV4QueryAuth(keys, "s3", region, expires=VALID_SECONDS).add_auth(request)
    return str(request.url)
