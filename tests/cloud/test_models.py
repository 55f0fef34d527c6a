"""AWS's models are read once; what a client changes in its own, moto does not see."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
from labkit.cloud.shared import models

models.share()
import boto3
from botocore.exceptions import EndpointConnectionError
from moto.core.utils import get_service_model

s3 = boto3.client("s3", "us-east-1", endpoint_url="http://127.0.0.1:9",
                  aws_access_key_id="a", aws_secret_access_key="b")
try:
    s3.create_bucket(Bucket="bucket")
except EndpointConnectionError:
    pass
for model in (s3.meta.service_model, get_service_model("s3")):
    print(repr(model.operation_model("CreateBucket").http["requestUri"]))
"""


def test_an_s3_client_leaves_moto_s_paths_alone() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert done.stdout.splitlines() == ["''", "'/{Bucket}'"], done.stderr
