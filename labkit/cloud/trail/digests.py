"""Digest files: what a trail delivered, hashed and signed, each with the signature of the one before.

`aws cloudtrail validate-logs` follows them back from the newest.
AWS pages: "CloudTrail digest file structure"; "Custom implementations of CloudTrail log file integrity validation".
"""

from __future__ import annotations

import gzip
import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from labkit.cloud.trail.models import Chain, Trail

TIME = "%Y-%m-%dT%H:%M:%SZ"
IN_NAMES = "%Y%m%dT%H%M%SZ"
_VALID = timedelta(days=30)


@dataclass(frozen=True)
class Key:
    """A Region's key pair."""

    private: rsa.RSAPrivateKey
    made: datetime

    @property
    def public(self) -> bytes:
        """The public key, as ListPublicKeys gives it: PKCS #1, DER."""
        form = serialization.PublicFormat.PKCS1
        return self.private.public_key().public_bytes(serialization.Encoding.DER, form)

    @property
    def fingerprint(self) -> str:
        return hashlib.md5(self.public, usedforsecurity=False).hexdigest()

    def fields(self) -> dict[str, Any]:
        return {
            "Value": self.public,
            "ValidityStartTime": self.made - timedelta(hours=1),
            "ValidityEndTime": self.made + _VALID,
            "Fingerprint": self.fingerprint,
        }


@cache
def key(region: str) -> Key:
    """The key pair that a Region's digests are signed with, as long as this lab runs."""
    return Key(rsa.generate_private_key(65537, 2048), datetime.now(UTC).replace(microsecond=0))


def log_file(
    bucket: str, name: str, records: list[dict[str, Any]], content: bytes
) -> dict[str, Any]:
    """What a digest says of a log file.

    Args:
        content: of the file before it was compressed.
    """
    times = sorted(record["eventTime"] for record in records)
    return {
        "s3Bucket": bucket,
        "s3Object": name,
        "hashValue": hashlib.sha256(content).hexdigest(),
        "hashAlgorithm": "SHA-256",
        "oldestEventTime": times[0],
        "newestEventTime": times[-1],
    }


def digest(
    trail: Trail, region: str, chain: Chain, until: datetime
) -> tuple[str, bytes, dict[str, str]]:
    """The next digest file of a chain: its key, its content, compressed, and its metadata in S3."""
    stamp = until.strftime(IN_NAMES)
    name = trail.key(
        "CloudTrail-Digest",
        region,
        until.strftime("%Y/%m/%d"),
        f"{trail.account_id}_CloudTrail-Digest_{region}_{trail.name}_{trail.region}_{stamp}.json.gz",
    )
    ours = key(region)
    times = sorted(
        one[which] for one in chain.files for which in ("oldestEventTime", "newestEventTime")
    )
    previous = chain.previous
    content = json.dumps(
        {
            "awsAccountId": trail.account_id,
            "digestStartTime": chain.since.strftime(TIME),
            "digestEndTime": until.strftime(TIME),
            "digestS3Bucket": trail.bucket,
            "digestS3Object": name,
            "digestPublicKeyFingerprint": ours.fingerprint,
            "digestSignatureAlgorithm": "SHA256withRSA",
            "newestEventTime": times[-1] if times else None,
            "oldestEventTime": times[0] if times else None,
            "previousDigestS3Bucket": previous.get("bucket"),
            "previousDigestS3Object": previous.get("key"),
            "previousDigestHashValue": previous.get("hash"),
            "previousDigestHashAlgorithm": "SHA-256" if previous else None,
            "previousDigestSignature": previous.get("signature"),
            "logFiles": chain.files,
        }
    ).encode()
    hashed = hashlib.sha256(content).hexdigest()
    signed = "\n".join(
        [
            until.strftime(TIME),
            f"{trail.bucket}/{name}",
            hashed,
            previous.get("signature", "null"),
        ]
    )
    signature = ours.private.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()).hex()
    chain.previous = {
        "bucket": trail.bucket,
        "key": name,
        "hash": hashed,
        "signature": signature,
    }
    chain.since, chain.files = until, []
    return (
        name,
        gzip.compress(content),
        {"signature": signature, "signature-algorithm": "SHA256withRSA"},
    )
