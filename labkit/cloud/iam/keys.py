"""KMS keys that cannot be used, or are named by their ARNs: moto's keys are asked before they work.

AWS page: "Key states of AWS KMS keys" in the AWS KMS Developer Guide.
"""

from __future__ import annotations

from functools import wraps
from typing import Any

from moto.kms import responses
from moto.kms.models import KmsBackend

from labkit.cloud.shared.service import AWSError, named

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


def _check(backend: KmsBackend, key_id: str) -> None:
    key = backend.keys.get(backend.any_id_to_key_id(key_id))
    if key is None or key.key_state == "Enabled":
        return  # what is not there moto refuses
    if key.key_state == "Disabled":
        raise AWSError("DisabledException", f"{key.arn} is disabled.")
    raise AWSError("KMSInvalidStateException", f"{key.arn} is pending deletion.")
