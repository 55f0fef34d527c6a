"""Signature Version 4, checked: header, presigned, chunked and git forms.

AWS pages: "Signature Version 4 for API requests"; "Setup steps for HTTPS connections to AWS
CodeCommit repositories with the AWS CLI credential helper".
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from urllib.parse import parse_qsl

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest

from labkit.cloud.iam.api import credentials
from labkit.cloud.shared import identity
from labkit.cloud.shared.identity import Principal

SKEW = timedelta(minutes=15)
UNSIGNED = "UNSIGNED-PAYLOAD"
_ALGORITHM = "AWS4-HMAC-SHA256"
_EMPTY = hashlib.sha256().hexdigest()
_TIME = re.compile(r"\d{8}T\d{6}Z", re.ASCII)
# botocore's, which know what is canonical; they sign nothing here
_SIGNER = SigV4Auth(None, "", "")
_SIGNERS = {"s3": S3SigV4Auth(None, "", "")}


class SignatureError(Exception):
    """A request that is not validly signed; `code` is AWS's for the JSON protocols."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


@dataclass(frozen=True)
class Signed:
    """What a request says of its own signature."""

    access_key_id: str
    date: str
    region: str
    service: str
    signed_headers: list[str]
    signature: str
    timestamp: str
    token: str | None
    lifetime: timedelta = SKEW


def read(headers: dict[str, str], query: str) -> Signed:
    """The signature fields of a request, from its `Authorization` header or its query string.

    Args:
        headers: the request's headers, names in lower case.
        query: the raw query string.

    Raises:
        SignatureError: there is none, or it is not of SigV4's form.
    """
    parameters = dict(parse_qsl(query, keep_blank_values=True))
    authorization = headers.get("authorization", "")
    try:
        if authorization.startswith(f"{_ALGORITHM} "):
            pairs = authorization.removeprefix(f"{_ALGORITHM} ").split(",")
            fields = dict(pair.strip().split("=", 1) for pair in pairs)
            credential, signed = fields["Credential"], fields["SignedHeaders"]
            signature, timestamp = fields["Signature"], headers["x-amz-date"]
            token, lifetime = headers.get("x-amz-security-token"), SKEW
        elif parameters.get("X-Amz-Algorithm") == _ALGORITHM:
            credential, signed = parameters["X-Amz-Credential"], parameters["X-Amz-SignedHeaders"]
            signature, timestamp = parameters["X-Amz-Signature"], parameters["X-Amz-Date"]
            token = parameters.get("X-Amz-Security-Token")
            lifetime = _lifetime(parameters["X-Amz-Expires"])
        else:
            raise SignatureError(
                "MissingAuthenticationTokenException", "Missing Authentication Token"
            )
        key_id, date, region, service, _ = credential.split("/")
    except (KeyError, ValueError) as error:
        raise SignatureError(
            "IncompleteSignatureException",
            "Authorization header requires 'Credential', 'Signature' and 'SignedHeaders' "
            "parameters, and an existence of 'X-Amz-Date'.",
        ) from error
    return Signed(
        key_id, date, region, service, signed.split(";"), signature, timestamp, token, lifetime
    )


def identify(signed: Signed) -> Principal:
    """The principal that a request says it is of: what can be told before its body is read.

    Raises:
        SignatureError: unknown key, wrong session token, or out of its time.
    """
    principal = identity.find(signed.access_key_id)
    if principal is None or not _same(principal.session_token or "", signed.token or ""):
        raise SignatureError(
            "UnrecognizedClientException", "The security token included in the request is invalid."
        )
    _check_time(signed)
    return principal


def claimed_digest(signed: Signed, headers: Mapping[str, str]) -> str | None:
    """What the signature takes for the body's digest; None is the SHA-256 of what will come.

    S3's clients say it in a header, so that their signature can be checked before the body is there.
    """
    presigned = "authorization" not in headers
    unsigned = UNSIGNED if presigned and signed.service == "s3" else None
    return headers.get("x-amz-content-sha256") or unsigned


def check_digest(claimed: str, digest: str) -> None:
    """Check that the body is the one that was signed.

    Raises:
        SignatureError: it is another one.
    """
    if not _same(claimed, digest):
        raise SignatureError(
            "XAmzContentSHA256Mismatch",
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        )


def check(
    signed: Signed,
    principal: Principal,
    method: str,
    uri: str,
    headers: Mapping[str, str],
    digest: str,
) -> None:
    """Check the signature of a request.

    Args:
        signed: what `read` found.
        uri: path and query as they came over the wire.
        headers: all headers, names in lower case.
        digest: the body's, or what stands in its place.

    Raises:
        SignatureError: it is not this principal's, or not of this request.
    """
    signer = _SIGNERS.get(signed.service, _SIGNER)
    path, _, query = uri.partition("?")
    lines = [f"{name}:{' '.join(headers.get(name, '').split())}" for name in signed.signed_headers]
    canonical = "\n".join(
        [
            method.upper(),
            signer._normalize_url_path(path),
            _canonical_query(query) if query else "",
            *lines,
            "",
            ";".join(signed.signed_headers),
            digest,
        ]
    )
    place = (signed.timestamp, signed.region, signed.service)
    canonical_digest = hashlib.sha256(canonical.encode()).hexdigest()
    expected = _signature(principal.secret_access_key, _ALGORITHM, *place, canonical_digest)
    if not _same(expected, signed.signature):
        raise SignatureError(
            "InvalidSignatureException",
            "The request signature we calculated does not match the signature you provided. "
            "Check your AWS Secret Access Key and signing method. "
            "Consult the service documentation for details.",
        )


class Chain:
    """The signatures of a body that is signed chunk by chunk, each made with the one before it.

    AWS pages: "Signature calculations for the authorization header: transferring payload in multiple
    chunks" and "... including trailing headers", in the Amazon S3 API Reference.
    """

    def __init__(self, signed: Signed, principal: Principal) -> None:
        self._signed, self._principal, self._last = signed, principal, signed.signature

    def check_chunk(self, digest: str, signature: str) -> None:
        """Check the next chunk's signature.

        Args:
            digest: SHA-256 of the chunk's bytes, in hexadecimal.

        Raises:
            SignatureError: it is not the one that follows.
        """
        self._check("AWS4-HMAC-SHA256-PAYLOAD", [_EMPTY, digest], signature)

    def check_trailer(self, digest: str, signature: str) -> None:
        """Check the signature of the trailing headers.

        Raises:
            SignatureError: it is not the one that follows.
        """
        self._check("AWS4-HMAC-SHA256-TRAILER", [digest], signature)

    def _check(self, kind: str, digests: list[str], signature: str) -> None:
        signed, secret = self._signed, self._principal.secret_access_key
        self._last = _signature(
            secret, kind, signed.timestamp, signed.region, signed.service, self._last, *digests
        )
        if not _same(self._last, signature):
            raise SignatureError(
                "InvalidSignatureException",
                "The signature of a chunk does not match the one that was calculated.",
            )


def _canonical_query(query: str) -> str:
    parts = [part for part in query.split("&") if not part.startswith("X-Amz-Signature=")]
    return str(_SIGNER.canonical_query_string(AWSRequest("GET", f"http://aws/?{'&'.join(parts)}")))


def _signature(
    secret: str, kind: str, timestamp: str, region: str, service: str, *digests: str
) -> str:
    day = timestamp[:8]
    text = "\n".join([kind, timestamp, f"{day}/{region}/{service}/aws4_request", *digests])
    return hmac.digest(_signing_key(secret, day, region, service), text.encode(), "sha256").hex()


@lru_cache(maxsize=1024)
def _signing_key(secret: str, day: str, region: str, service: str) -> bytes:
    """It is the same all day: a client asks for thousands of things with it."""
    key = f"AWS4{secret}".encode()
    for text in (day, region, service, "aws4_request"):
        key = hmac.digest(key, text.encode(), "sha256")
    return key


def _lifetime(seconds: str) -> timedelta:
    """Of a presigned URL: a week at most."""
    lifetime = timedelta(seconds=int(seconds[:9]))
    if not timedelta(0) < lifetime <= timedelta(days=7):
        raise ValueError("X-Amz-Expires must be between 1 and 604800 seconds")
    return lifetime


def _read_time(text: str) -> datetime:
    """Of a date such as 20261128T150405Z.

    Raises:
        ValueError: it is of another form.
    """
    if not _TIME.fullmatch(text):
        raise ValueError(text)
    return datetime.fromisoformat(text)


def _check_time(signed: Signed) -> None:
    try:
        made = _read_time(signed.timestamp)
        first, last = made - SKEW, made + signed.lifetime
    except (ValueError, OverflowError) as error:
        raise SignatureError(
            "IncompleteSignatureException",
            f"Date must be in ISO-8601 'basic format'. Got '{signed.timestamp}'.",
        ) from error
    now = datetime.now(UTC)
    if not first <= now <= last:
        raise SignatureError(
            "InvalidSignatureException",
            f"Signature expired: {signed.timestamp} is not within {signed.lifetime} of {now:%Y%m%dT%H%M%SZ}",
        )


def git_password(
    principal_key: str,
    secret: str,
    token: str | None,
    region: str,
    path: str,
    host: str,
    timestamp: str,
) -> tuple[str, str]:
    """User name and password of git over HTTPS, as `aws codecommit credential-helper` makes them.

    Args:
        path: the repository's path in the clone URL, `/v1/repos/<name>`.
        host: the URL's host without its port.
        timestamp: UTC, `YYYYmmddTHHMMSS`.
    """
    digest = hashlib.sha256(f"GIT\n{path}\n\nhost:{host}\n\nhost\n".encode()).hexdigest()
    signature = _signature(secret, _ALGORITHM, timestamp, region, "codecommit", digest)
    user = f"{principal_key}%{token}" if token else principal_key
    return user, f"{timestamp}Z{signature}"


def verify_git(authorization: str, region: str, path: str, host: str) -> Principal:
    """The principal behind git's Basic authentication: a signature, or what IAM gave out for CodeCommit.

    Raises:
        SignatureError: not Basic, unknown key or user name, wrong or expired password.
    """
    refused = SignatureError("AccessDeniedException", "git: no valid CodeCommit credentials")
    try:
        scheme, encoded = authorization.split(" ", 1)
        user, password = base64.b64decode(encoded, validate=True).decode().split(":", 1)
        known = credentials.find(credentials.CODECOMMIT, user, password)
        if known is not None and scheme.lower() == "basic":
            return known
        made = _read_time(password[:16])
    except (ValueError, binascii.Error) as error:
        raise refused from error
    key_id, _, token = user.partition("%")
    principal = identity.find(key_id)
    if scheme.lower() != "basic" or principal is None or abs(datetime.now(UTC) - made) > SKEW:
        raise refused
    expected = git_password(
        key_id, principal.secret_access_key, token or None, region, path, host, password[:15]
    )
    if not _same(principal.session_token or "", token) or not _same(expected[1], password):
        raise refused
    return principal


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())
