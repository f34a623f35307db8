"""The bodies and queries that are accepted, and nothing else."""

import json
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from devstack.sandbox.errors import InvalidRequest
from devstack.sandbox.objects import microseconds

Reference = Annotated[str, StringConstraints(min_length=1, max_length=100)]
MetadataKey = Annotated[str, StringConstraints(min_length=1, max_length=40)]
MetadataValue = Annotated[str, StringConstraints(max_length=500)]
Model = TypeVar("Model", bound=BaseModel)


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
    try:
        return model.model_validate(fields)
    except ValidationError as invalid:
        first = invalid.errors(include_url=False, include_input=False)[0]
        codes = {"missing": "parameter_missing", "extra_forbidden": "parameter_unknown"}
        code = codes.get(first["type"], "parameter_invalid")
        param = ".".join(str(part) for part in first["loc"]) or None
        raise InvalidRequest(code, first["msg"], param=param) from None


def parse_json(model: type[Model], body: bytes) -> Model:
    """The same from a JSON body; an empty one is an empty object."""
    try:
        fields = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        raise InvalidRequest("body_invalid", "The body is not JSON.") from None
    return parse(model, fields)
