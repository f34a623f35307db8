"""The bodies and queries that are accepted, and nothing else."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from devstack.sandbox.errors import InvalidRequest
from devstack.sandbox.objects import microseconds

Reference = Annotated[str, StringConstraints(min_length=1, max_length=100)]
MetadataKey = Annotated[str, StringConstraints(min_length=1, max_length=40)]
MetadataValue = Annotated[str, StringConstraints(max_length=500)]
Model = TypeVar("Model", bound=BaseModel)

_CODES = {"missing": "parameter_missing", "extra_forbidden": "parameter_unknown", "json_invalid": "body_invalid"}
"""What a fault that pydantic finds is called; every other is `parameter_invalid`."""


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class CreatePaymentIntent(_Body):
    """POST /v1/payment_intents"""

    amount: str
    currency: str
    reference: Reference
    payment_method: Literal["card", "qris", "virtual_account", "e_wallet"]
    payment_token: str = Field("", max_length=200)
    metadata: dict[Annotated[str, StringConstraints(max_length=40)], Annotated[str, StringConstraints(max_length=500)]]
    metadata = Field(default_factory=dict, max_length=50)


class PayPaymentIntent(_Body):
    """POST /v1/test/payment_intents/{id}/pay"""

    amount: str | None = None
    late: bool = False


class CreateRefund(_Body):
    """POST /v1/refunds"""

    payment_intent: str
    amount: str
    reference: Reference
    reason: str = Field("", max_length=500)


class ListQuery(BaseModel):
    """The query of every list; a filter that the list does not know is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: int = Field(100, ge=1, le=100)
    starting_after: str | None = None
    created_from: AwareDatetime | None = None
    created_to: AwareDatetime | None = None

    def filters(self) -> dict[str, Any]:
        """What was asked for, by the names the store knows."""
        given = self.model_dump(exclude_none=True, exclude={"limit", "starting_after"})
        return {name: microseconds(value) if isinstance(value, datetime) else value for name, value in given.items()}


class ListPayments(ListQuery):
    """GET /v1/payment_intents"""

    reference: str | None = None
    status: str | None = None


class ListRefunds(ListPayments):
    """GET /v1/refunds"""

    payment_intent: str | None = None


class ListEvents(ListQuery):
    """GET /v1/events"""

    type: str | None = None
    object: str | None = None


def parse(model: type[Model], fields: object) -> Model:
    """The request, or `InvalidRequest` naming the first field that is wrong."""
    return _checked(model.model_validate, fields)


def parse_json(model: type[Model], body: bytes) -> Model:
    """The same from a JSON body; an empty one is an empty object."""
    return _checked(model.model_validate_json, body or b"{}")


def _checked(validate: Callable[[Any], Model], given: object) -> Model:
    try:
        return validate(given)
    except ValidationError as invalid:
        first = invalid.errors(include_url=False, include_input=False)[0]
        param = ".".join(str(part) for part in first["loc"]) or None
        raise InvalidRequest(_CODES.get(first["type"], "parameter_invalid"), first["msg"], param=param) from None
