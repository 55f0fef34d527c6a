"""Seeded random pairs of policies and requests, as rows of the table."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial
from typing import Any

from tests.iam.table import CALLERS, OTHER, OWN

KEY, ROLE = f"arn:aws:kms:us-east-1:{OWN}:key/1234abcd", f"arn:aws:iam::{OWN}:role/deploy"
QUEUE, BUCKET = f"arn:aws:sqs:us-east-1:{OWN}:orders", "arn:aws:s3:::shop"
ASKED = [
    ("s3:GetObject", f"{BUCKET}/a", "anything"),
    ("s3:GetObject", f"{BUCKET}/home/alice/notes:1.txt", "anything"),
    ("s3:PutObject", f"{BUCKET}/home/bob/x", "anything"),
    ("s3:ListBucket", BUCKET, "anything"),
    ("s3:ListAllMyBuckets", "*", "anything"),
    ("sqs:SendMessage", QUEUE, "anything"),
    ("kms:Decrypt", KEY, "key"),
    ("sts:AssumeRole", ROLE, "role"),
]
ACTIONS = ["*", "s3:*", "S3:Get*", "s3:?utObject", "s3:*Object", "sqs:SendMessage", "sqs:*", "kms:*",
           "sts:AssumeRole", "s3:List*", "iam:*"]  # fmt: skip
RESOURCES = ["*", f"{BUCKET}/*", f"{BUCKET}*", BUCKET, f"{BUCKET}/home/*/*", f"{BUCKET}/home/${{aws:username}}/*",
             f"{BUCKET}/?", f"{BUCKET}/home/alice/n*.txt", f"arn:aws:sqs:*:{OWN}:orders", "arn:aws:sqs:*:*:*",
             f"arn:aws:sqs:us-*-1:{OWN}:ord??s", f"arn:aws:kms:*:{OWN}:key/*", f"arn:aws:iam::{OWN}:role/*",
             f"{BUCKET}/${{aws:PrincipalTag/team, 'a'}}", f"{BUCKET}/home/${{*}}/x"]  # fmt: skip
CONTEXT = {
    "aws:username": ["alice", "bob", "a*b"],
    "aws:PrincipalTag/team": ["red", "blue", "Red", ""],
    "s3:max-keys": ["5", "10", "10.5", "200", "-1"],
    "aws:CurrentTime": ["2020-01-01T00:00:00Z", "2026-11-28T08:00:00Z"],
    "aws:SourceIp": ["10.1.2.3", "192.0.2.7", "2001:db8::1"],
    "aws:SecureTransport": ["true", "false"],
    "aws:SourceArn": ["arn:aws:s3:::shop", f"arn:aws:codepipeline:us-east-1:{OWN}:shop", "arn:aws:x:r:1:a:b/c"],
    "aws:TagKeys": [["team"], ["team", "cost"], ["owner"], []],
}  # fmt: skip
TESTS = {
    "aws:username": (["StringEquals", "StringNotEquals", "StringLike", "StringNotLike", "StringEqualsIgnoreCase"],
                     ["alice", "a*", "*o?", "ALICE", "${aws:PrincipalTag/team}", "a${*}b"]),
    "aws:PrincipalTag/team": (["StringEquals", "StringNotEqualsIgnoreCase", "StringLike"], ["red", "r*", "BLUE", "*"]),
    "s3:max-keys": (["NumericEquals", "NumericNotEquals", "NumericLessThan", "NumericLessThanEquals",
                     "NumericGreaterThan", "NumericGreaterThanEquals"], ["5", "10", "10.5", "0"]),
    "aws:CurrentTime": (["DateEquals", "DateNotEquals", "DateLessThan", "DateGreaterThan", "DateLessThanEquals"],
                        ["2020-01-01T00:00:00Z", "2023-01-01", "2026-11-28T08:00:00Z"]),
    "aws:SourceIp": (["IpAddress", "NotIpAddress"], ["10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "0.0.0.0/0"]),
    "aws:SecureTransport": (["Bool"], ["true", "false"]),
    "aws:SourceArn": (["ArnEquals", "ArnLike", "ArnNotLike", "ArnNotEquals", "StringLike"],
                      ["arn:aws:s3:::sh*", f"arn:aws:codepipeline:*:{OWN}:*", "arn:*:x:*:*:b/c", "arn:aws:x:?:1:*"]),
    "aws:TagKeys": (["ForAllValues:StringEquals", "ForAnyValue:StringEquals", "ForAllValues:StringNotLike",
                     "ForAnyValue:StringNotEquals", "ForAnyValue:StringLike", "StringEquals", "StringNotEquals"],
                    ["team", "cost", "o*"]),
}  # fmt: skip
NAMES = [
    "*",
    {"AWS": "*"},
    {"AWS": OWN},
    {"AWS": f"arn:aws:iam::{OTHER}:root"},
    *(
        {"AWS": CALLERS[name].arn}
        for name in ("alice", "build", "federated alice", "bob", "release")
    ),
    *({"AWS": CALLERS[name].issuer} for name in ("build", "release", "federated alice")),
    {"Service": "codepipeline.amazonaws.com"},
    {"AWS": [CALLERS["alice"].arn, f"arn:aws:iam::{OWN}:root"]},
    {"AWS": [CALLERS["bob"].arn, CALLERS["release"].issuer], "Service": "codedeploy.amazonaws.com"},
]
PEOPLE = ["alice", "alice", "build", "build", "federated alice", "bob", "release", "codepipeline"]


def pairs(seed: int, count: int) -> Iterator[dict[str, Any]]:
    """Rows of the table, without what comes out."""
    chance = random.Random(seed)
    for _ in range(count):
        yield _pair(chance)


def _pair(chance: random.Random) -> dict[str, Any]:
    action, resource, of = chance.choice(ASKED)
    person = chance.choice(PEOPLE)
    row: dict[str, Any] = {"caller": person, "action": action, "resource": resource, "of": of}
    row["context"] = {
        key: chance.choice(values) for key, values in CONTEXT.items() if chance.random() < 0.6
    }
    document = partial(_document, chance, action, resource)
    if CALLERS[person].has_identity:
        row["identity"] = document()
    if chance.random() < 0.3 and CALLERS[person].has_identity:
        row["boundary"] = document()
    if person == "federated alice" or (CALLERS[person].issuer and chance.random() < 0.3):
        row["session"] = document()
    if of != "anything" or chance.random() < 0.6:
        row["policy"] = document(principal=True)
    if chance.random() < 0.2 and CALLERS[person].has_identity:
        row["scps"] = [[document(), document()], [document()]]
    return row


def _document(
    chance: random.Random, action: str, resource: str, principal: bool = False
) -> dict[str, Any]:
    version = "2012-10-17" if chance.random() < 0.9 else "2008-10-17"
    statement = partial(_statement, chance, action, resource, principal)
    return {
        "Version": version,
        "Statement": [statement() for _ in range(chance.choice([1, 1, 2, 3]))],
    }


def _statement(
    chance: random.Random, action: str, resource: str, principal: bool
) -> dict[str, Any]:
    def element(name: str, values: list[Any], many: int = 3) -> None:
        negated = "Not" if chance.random() < 0.1 else ""
        made[negated + name] = chance.choices(values, k=chance.randint(1, many))

    made: dict[str, Any] = {"Effect": "Allow" if chance.random() < 0.85 else "Deny"}
    if principal:
        negated = "Not" if chance.random() < 0.05 else ""
        made[negated + "Principal"] = chance.choice(NAMES)
    # often what is asked for, so that the rest of the statement decides
    element("Action", [*ACTIONS, *([action] * 8)])
    element("Resource", [*RESOURCES, *([resource, "*"] * 5)])
    condition: dict[str, Any] = {}
    while chance.random() < 0.35:
        key, (operators, values) = chance.choice(list(TESTS.items()))
        name = chance.choice(operators) + ("IfExists" if chance.random() < 0.15 else "")
        condition.setdefault(name, {})[key] = chance.choices(values, k=chance.randint(1, 2))
        if chance.random() < 0.1:
            condition["Null"] = {key: chance.choice(["true", "false"])}
    if condition:
        made["Condition"] = condition
    return made
