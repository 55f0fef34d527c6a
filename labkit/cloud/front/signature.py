"""Signature Version 4, checked with botocore's own signer: header, presigned and git forms.

AWS pages: "Signature Version 4 for API requests"; "Setup steps for HTTPS connections to AWS
CodeCommit repositories with the AWS CLI credential helper".
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from labkit.cloud.shared import identity
from labkit.cloud.shared.identity import Principal

SKEW = timedelta(minutes=15)
UNSIGNED_BODY = ("UNSIGNED-PAYLOAD", "STREAMING-")


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
        if authorization.startswith("AWS4-HMAC-SHA256 "):
            pairs = authorization.removeprefix("AWS4-HMAC-SHA256 ").split(",")
            fields = dict(pair.strip().split("=", 1) for pair in pairs)
            credential, signed = fields["Credential"], fields["SignedHeaders"]
            signature, timestamp = fields["Signature"], headers["x-amz-date"]
            token, lifetime = headers.get("x-amz-security-token"), SKEW
        elif parameters.get("X-Amz-Algorithm") == "AWS4-HMAC-SHA256":
            credential, signed = parameters["X-Amz-Credential"], parameters["X-Amz-SignedHeaders"]
            signature, timestamp = parameters["X-Amz-Signature"], parameters["X-Amz-Date"]
            token = parameters.get("X-Amz-Security-Token")
            lifetime = timedelta(seconds=int(parameters["X-Amz-Expires"]))
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


def verify(
    signed: Signed, method: str, uri: str, headers: dict[str, str], body: bytes
) -> Principal:
    """The principal that signed this request.

    Args:
        signed: what `read` found.
        uri: path and query as they came over the wire.
        headers: all headers, names in lower case.

    Raises:
        SignatureError: unknown key, wrong signature, wrong body, or out of its time.
    """
    principal = identity.find(signed.access_key_id)
    if principal is None or not _same(principal.session_token or "", signed.token or ""):
        raise SignatureError(
            "UnrecognizedClientException", "The security token included in the request is invalid."
        )
    _check_time(signed)
    claimed = headers.get("x-amz-content-sha256")
    unsigned = claimed is None or claimed.startswith(UNSIGNED_BODY)
    if not unsigned and hashlib.sha256(body).hexdigest() != claimed:
        raise SignatureError(
            "XAmzContentSHA256Mismatch",
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        )
    if not _same(_expected(signed, principal, method, uri, headers, body), signed.signature):
        raise SignatureError(
            "InvalidSignatureException",
            "The request signature we calculated does not match the signature you provided. "
            "Check your AWS Secret Access Key and signing method. "
            "Consult the service documentation for details.",
        )
    return principal


def _expected(
    signed: Signed,
    principal: Principal,
    method: str,
    uri: str,
    headers: dict[str, str],
    body: bytes,
) -> str:
    signer = (S3SigV4Auth if signed.service == "s3" else SigV4Auth)(
        Credentials(principal.access_key_id, principal.secret_access_key),
        signed.service,
        signed.region,
    )
    query = "&".join(
        part for part in urlsplit(uri).query.split("&") if not part.startswith("X-Amz-Signature=")
    )
    path = urlsplit(uri).path
    request = AWSRequest(method, f"http://{headers['host']}{path}?{query}", data=body)
    request.context["timestamp"] = signed.timestamp
    presigned = "authorization" not in headers
    digest = headers.get("x-amz-content-sha256") or (
        "UNSIGNED-PAYLOAD"
        if presigned and signed.service == "s3"
        else hashlib.sha256(body).hexdigest()
    )
    lines = [f"{name}:{' '.join(headers.get(name, '').split())}" for name in signed.signed_headers]
    canonical = "\n".join(
        [
            method.upper(),
            signer._normalize_url_path(path),
            signer.canonical_query_string(request),
            *lines,
            "",
            ";".join(signed.signed_headers),
            digest,
        ]
    )
    return str(signer.signature(signer.string_to_sign(request, canonical), request))


def _check_time(signed: Signed) -> None:
    try:
        made = datetime.strptime(signed.timestamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError as error:
        raise SignatureError(
            "IncompleteSignatureException",
            f"Date must be in ISO-8601 'basic format'. Got '{signed.timestamp}'.",
        ) from error
    now = datetime.now(UTC)
    if not made - SKEW <= now <= made + signed.lifetime:
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
    signer = SigV4Auth(Credentials(principal_key, secret), "codecommit", region)
    request = AWSRequest("GIT", f"http://{host}{path}")
    request.context["timestamp"] = timestamp
    canonical = f"GIT\n{path}\n\nhost:{host}\n\nhost\n"
    signature = signer.signature(signer.string_to_sign(request, canonical), request)
    user = f"{principal_key}%{token}" if token else principal_key
    return user, f"{timestamp}Z{signature}"


def verify_git(authorization: str, region: str, path: str, host: str) -> Principal:
    """The principal behind git's Basic authentication.

    Raises:
        SignatureError: not Basic, unknown key, wrong or expired password.
    """
    refused = SignatureError("AccessDeniedException", "git: no valid CodeCommit credentials")
    try:
        scheme, encoded = authorization.split(" ", 1)
        user, password = base64.b64decode(encoded, validate=True).decode().split(":", 1)
        made = datetime.strptime(password[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
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
