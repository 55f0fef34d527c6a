"""What our services share: dispatch to a method per operation, model checks, ARNs, errors, paging.

A service is a subclass of `Service` with one method per operation, named as boto3 names it, taking
the operation's own parameters by AWS's names and returning the response as a dict. What has no
method answers with an AWS-shaped error that names the operation (rule R1).
"""

from __future__ import annotations

import base64
import inspect
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar

from botocore import xform_name
from moto.core.common_types import TYPE_RESPONSE
from moto.core.exceptions import ServiceException
from moto.core.model import OperationModel
from moto.core.request import Request
from moto.core.responses import ActionResult, BaseResponse
from moto.core.serialize import SERIALIZERS, get_serializer_class
from moto.core.utils import get_service_model

from labkit.cloud.shared import input_checks
from labkit.cloud.shared.identity import Principal

T = TypeVar("T")


class AWSError(ServiceException):
    """An error with any of AWS's codes: `AWSError("PipelineNotFoundException", "...")`.

    moto looks for a service model by the module an error is defined in, so that errors whose code
    is in no model (`AccessDeniedException`, ...) have to be defined here.
    """


class Service(BaseResponse):
    """One of the Code services, standing in moto's place.

    `boto3_name` is the name a boto3 client of it has.
    """

    boto3_name: ClassVar[str]

    def __init__(self) -> None:
        super().__init__(service_name=self.boto3_name)
        self.automated_parameter_parsing = True

    @property
    def boto3_service_name(self) -> str:
        return self.boto3_name

    @property
    def principal(self) -> Principal:
        """Who signed this request."""
        principal: Principal = self.normalized_request.environ["labkit.principal"]
        return principal

    def arn(self, resource: str) -> str:
        """The ARN of a resource of this service in the request's account and Region."""
        return f"arn:aws:{self.boto3_name}:{self.region}:{self.current_account}:{resource}"

    def parse_parameters(self, request: Request) -> None:
        self.refusal: ServiceException | None = None
        model = self._model()
        if model is None:
            return
        try:
            input_checks.check_types(model, request.data)
        except ServiceException as error:
            self.refusal = error  # answered where all errors are
            return
        super().parse_parameters(request)

    def call_action(self) -> TYPE_RESPONSE:
        operation = self._get_action()
        try:
            method = getattr(self, xform_name(operation), None) if self._model() else None
            if method is None:
                raise unsupported(self.boto3_name, operation)
            if self.refusal is not None:
                raise self.refusal
            input_checks.check(
                get_service_model(self.boto3_name).operation_model(operation), self.params
            )
            result: Any = method(**self.params)
        except ServiceException as error:
            result = AWSError(error.code, error.message)
        status, headers, body = self.serialized(ActionResult(result))
        headers, body = self._enrich_response(headers, body)
        return status, headers, body

    def _model(self) -> OperationModel | None:
        model = get_service_model(self.boto3_name)
        operation = self._get_action()
        return model.operation_model(operation) if operation in model.operation_names else None


def unsupported(boto3_name: str, operation: str) -> ServiceException:
    """The error for an operation that the local AWS does not have."""
    return AWSError(
        "UnknownOperationException",
        f"The lab's local AWS does not support {boto3_name}:{operation} (nothing was done).",
    )


def error_response(
    boto3_name: str, error: ServiceException, content_type: str, status: int | None = None
) -> TYPE_RESPONSE:
    """`error` as the service's own protocol writes it: (status, headers, body)."""
    model = get_service_model(boto3_name)
    spoken = [
        name for name in model.metadata.get("protocols", [model.protocol]) if name in SERIALIZERS
    ]
    protocol = "query" if "query" in spoken and "form" in content_type else [*spoken, "json"][0]
    serializer = get_serializer_class(model.service_name, protocol)(
        operation_model=OperationModel({}, model)
    )
    response = serializer.serialize(AWSError(error.code, error.message))
    return status or response["status_code"], dict(response["headers"]), response["body"]


def named(operation: Callable[..., Any], *arguments: Any, **keywords: Any) -> dict[str, Any]:
    """What a method of moto's is given, by name, `self` among it: `operation(**given)` is that call."""
    signature = inspect.signature(operation)
    given = signature.bind(*arguments, **keywords).arguments
    for name, parameter in signature.parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            given |= given.pop(name, {})
    return given


def page(
    items: Sequence[T],
    token: str | None,
    size: int | None,
    default_size: int = 100,
    *,
    error_code: str = "InvalidNextTokenException",
) -> tuple[list[T], str | None]:
    """One page of `items` and the token of the next, if there is one.

    Raises:
        AWSError: with `error_code`, for a token that no page gave out.
    """
    try:
        start = int(base64.urlsafe_b64decode(token.encode()).decode()) if token else 0
    except ValueError as error:
        raise AWSError(error_code, f"Invalid token: {token}") from error
    end = start + min(size or default_size, default_size)
    following = base64.urlsafe_b64encode(str(end).encode()).decode() if end < len(items) else None
    return list(items[start:end]), following
