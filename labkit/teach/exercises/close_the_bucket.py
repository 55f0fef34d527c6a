"""Exercise: a bucket for artifacts that stands open, is closed, encrypted, versioned, and emptied by itself.

Pages: "Blocking public access to your Amazon S3 storage"; "Setting default server-side encryption
behavior for Amazon S3 buckets"; "Managing your storage lifecycle".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from labkit.lab import Lab
from labkit.provision import artifacts
from labkit.teach.exercises.model import Answer, Check, Exercise, Facts, NotYetError, taken

_SWITCHES = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")


def begin(facts: Facts) -> dict[str, Any]:
    """Settings as somebody in a hurry has left them."""
    return {
        "block": dict.fromkeys(_SWITCHES, False),
        "encryption": {"SSEAlgorithm": "AES256"},
        "versioning": "Suspended",
        "rule": {
            "ID": "old-artifacts",
            "Status": "Enabled",
            "Filter": {"Prefix": "tmp/"},
            "Expiration": {"Days": 365},
        },
    }


def prepare(lab: Lab, facts: Facts) -> None:
    """A bucket; its settings are what is handed in."""
    artifacts.create_bucket(lab)


@dataclass(frozen=True)
class Outcome:
    """A bucket with these settings; what is asked of it is tried out."""

    lab: Lab
    days: int

    @property
    def closed(self) -> bool:
        """Whether all four switches are on."""
        found = self.lab.client("s3").get_public_access_block(Bucket=self.lab.bucket)
        switches = found["PublicAccessBlockConfiguration"]
        return all(switches.get(name) for name in _SWITCHES)

    @property
    def encryption(self) -> str:
        """With what S3 encrypts an object whose writer does not ask for anything."""
        s3, bucket = self.lab.client("s3"), self.lab.bucket
        s3.put_object(Bucket=bucket, Key="try/encrypted", Body=b"encrypted")
        return str(s3.head_object(Bucket=bucket, Key="try/encrypted")["ServerSideEncryption"])

    @property
    def remembers(self) -> bool:
        """Whether what was overwritten can still be read."""
        s3, bucket = self.lab.client("s3"), self.lab.bucket
        first = s3.put_object(Bucket=bucket, Key="try/version", Body=b"first")
        s3.put_object(Bucket=bucket, Key="try/version", Body=b"second")
        if first.get("VersionId", "null") == "null":
            return False
        where = {"Bucket": bucket, "Key": "try/version", "VersionId": first["VersionId"]}
        return bool(s3.get_object(**where)["Body"].read() == b"first")

    def expires(self, *names: str) -> bool:
        """Whether a rule that is on, and for the whole bucket, says so many days at `names`.

        Raises:
            NotYetError: no such rule.
        """
        rules = self.lab.client("s3").get_bucket_lifecycle_configuration(Bucket=self.lab.bucket)
        everywhere = [
            rule
            for rule in rules["Rules"]
            if rule["Status"] == "Enabled" and not rule.get("Filter", {}).get("Prefix")
        ]
        if not everywhere:
            raise NotYetError("first let the rule be for the whole bucket")
        first, second = names
        return any(rule.get(first, {}).get(second) == self.days for rule in everywhere)

    @property
    def whole(self) -> bool:
        """Whether a lifecycle rule is for the whole bucket."""
        try:
            self.expires("Expiration", "Days")
        except NotYetError:
            return False
        return True


def run(lab: Lab, facts: Facts, answer: Answer) -> Outcome:
    """Set what was handed in."""
    s3, bucket = lab.client("s3"), lab.bucket
    with taken("block"):
        s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=answer["block"])
    with taken("encryption"):
        rule = {"ApplyServerSideEncryptionByDefault": answer["encryption"]}
        s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    with taken("versioning"):
        s3.put_bucket_versioning(
            Bucket=bucket, VersioningConfiguration={"Status": answer["versioning"]}
        )
    with taken("rule"):
        s3.put_bucket_lifecycle_configuration(
            Bucket=bucket, LifecycleConfiguration={"Rules": [answer["rule"]]}
        )
    return Outcome(lab, int(facts["days"]))


EXERCISE = Exercise(
    title="close the bucket",
    lesson="04_artifacts",
    level=1,
    given={
        "name": ("shop-5", "ledger-5", "tickets-5", "library-5"),
        "days": ("30", "14", "21", "45", "60", "90"),
    },
    begin=begin,
    prepare=prepare,
    run=run,
    checks=(
        Check(
            "nobody can make an object public, not even by mistake",
            lambda it: it.closed,
            "all four switches of the public access block have to be on",
        ),
        Check(
            "what is stored is encrypted with a key of KMS, whoever stores it",
            lambda it: it.encryption == "aws:kms",
            lambda it: (
                f"S3 has used {it.encryption}: the default decides, where the writer says nothing"
            ),
        ),
        Check(
            "what was overwritten can still be read",
            lambda it: it.remembers,
            "let the bucket keep versions",
        ),
        Check(
            "the lifecycle rule is for the whole bucket",
            lambda it: it.whole,
            "an empty prefix is every key",
        ),
        Check(
            "artifacts expire after {days} days",
            lambda it: it.expires("Expiration", "Days"),
            "say so at Expiration",
        ),
        Check(
            "and so do the versions that were replaced",
            lambda it: it.expires("NoncurrentVersionExpiration", "NoncurrentDays"),
            "with versions on, Expiration alone deletes nothing: see NoncurrentVersionExpiration",
        ),
    ),
)
