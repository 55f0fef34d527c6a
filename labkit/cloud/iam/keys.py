"""KMS keys that cannot be used, are named by their ARNs, or could be managed by nobody: moto asks for none of it.

AWS pages: "Key states of AWS KMS keys" in the AWS KMS Developer Guide; "PutKeyPolicy" in the AWS KMS
API Reference.
"""

from __future__ import annotations

from functools import wraps
from typing import Any

from moto.kms import responses
from moto.kms.models import KmsBackend
from moto.kms.responses import KmsResponse

from labkit.cloud.iam import context, state
from labkit.cloud.iam.context import Connection
from labkit.cloud.iam.decision import Of, Policies, decide
from labkit.cloud.iam.principals import Caller
from labkit.cloud.iam.statements import Policy, Request
from labkit.cloud.shared.identity import Principal
from labkit.cloud.shared.service import AWSError, named

_EVERYTHING = Policy('{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}')
_USES = ("encrypt", "sign", "verify", "generate_mac")
_CHANGES = ("disable_key", "enable_key", "cancel_key_deletion", "schedule_key_deletion")


def start() -> None:
    """Have the state of a key decide: called once, when the local AWS starts."""
    for name in _USES:
        _ask_first(name)
    for name in _CHANGES:
        _take_arns(name)
    decrypt, verify = KmsBackend.decrypt, KmsBackend.verify

    @wraps(decrypt)
    def decrypt_with_usable_key(self: Any, *arguments: Any, **keywords: Any) -> Any:
        plaintext, arn = decrypt(self, *arguments, **keywords)
        _check(self, arn)
        return plaintext, arn

    @wraps(verify)
    def verified(self: Any, *arguments: Any, **keywords: Any) -> Any:
        arn, valid, algorithm = verify(self, *arguments, **keywords)
        if not valid:
            raise AWSError("KMSInvalidSignatureException", "The signature is not valid.")
        return arn, valid, algorithm

    KmsBackend.decrypt = decrypt_with_usable_key  # type: ignore[method-assign]
    KmsBackend.verify = verified  # type: ignore[method-assign]
    _ask_for_a_way_back("create_key")
    _ask_for_a_way_back("put_key_policy")
    named_default = responses._assert_default_policy

    def assert_default_policy(policy_name: str | None) -> None:
        named_default(policy_name or "default")

    responses._assert_default_policy = assert_default_policy
    # the key's policy has been asked at the door; moto would ask it again, without conditions
    responses.validate_policy = lambda *_: None  # type: ignore[attr-defined]


def _ask_first(name: str) -> None:
    original = getattr(KmsBackend, name)

    @wraps(original)
    def asked(self: Any, *arguments: Any, **keywords: Any) -> Any:
        _check(self, named(original, self, *arguments, **keywords)["key_id"])
        return original(self, *arguments, **keywords)

    setattr(KmsBackend, name, asked)


def _take_arns(name: str) -> None:
    original = getattr(KmsBackend, name)

    @wraps(original)
    def of_key(self: Any, key_id: str, *arguments: Any, **keywords: Any) -> Any:
        return original(self, self.get_key_id(key_id), *arguments, **keywords)

    setattr(KmsBackend, name, of_key)


def _ask_for_a_way_back(name: str) -> None:
    """Refuse a policy under which who puts it could not put another one."""
    original = getattr(KmsResponse, name)

    @wraps(original)
    def asked(self: Any) -> Any:
        text, bypass = self._get_param("Policy"), self._get_param("BypassPolicyLockoutSafetyCheck")
        principal = self.normalized_request.environ["labkit.principal"]
        if text and not bypass and not _leaves_a_way_back(text, principal, self.region):
            raise AWSError(
                "MalformedPolicyDocumentException",
                "The new key policy will not allow you to update the key policy in the future.",
            )
        return original(self)

    setattr(KmsResponse, name, asked)


def _leaves_a_way_back(text: str, principal: Principal, region: str) -> bool:
    """Whether a key's policy by itself lets somebody change it, or leaves that to their own policies."""
    identity = state.identity(principal)
    known = context.of(principal, identity, Connection(region))
    account = principal.account_id
    arn = f"arn:aws:kms:{region}:{account}:key/new"
    caller = Caller(principal.arn, account, principal.role_arn)
    request = Request(caller, "kms:PutKeyPolicy", arn, account, known)
    return decide(request, Policies((_EVERYTHING,), resource=Policy(text), of=Of.KEY)).allowed


def _check(backend: KmsBackend, key_id: str) -> None:
    key = backend.keys.get(backend.any_id_to_key_id(key_id))
    if key is None or key.key_state == "Enabled":
        return  # what is not there moto refuses
    if key.key_state == "Disabled":
        raise AWSError("DisabledException", f"{key.arn} is disabled.")
    raise AWSError("KMSInvalidStateException", f"{key.arn} is pending deletion.")
