"""What providers say of captures and refunds, as payment hears it from them: for those that the auditor cannot ask."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Protocol

from petproctl.audit.provider import ProviderAway
from petproctl.gateway import Gateway, Json, Refused, Unreachable

_PAGE = 50
_STATES = {"MOVEMENT_STATE_PENDING": "pending", "MOVEMENT_STATE_DONE": "succeeded", "MOVEMENT_STATE_FAILED": "failed"}


@dataclass(frozen=True)
class Moved:
    """Money that a provider took or gives back. `amount` is None where it does not tell; `at` is then unknown too."""

    reference: str
    external_reference: str
    state: str
    currency: str
    amount: Decimal | None
    at: datetime | None


class Lists(Protocol):
    """Read-only."""

    def moved(self, provider: str, kind: str, begins: datetime, ends: datetime) -> list[Moved] | None:
        """All of a kind, CAPTURE or REFUND, within a span; None of a provider that payment no longer has.

        Raises ProviderAway.
        """
        ...


class AskedThroughPayment:
    """Payment's list of movements, at the gateway, which `sign_in` opens as soon as something is asked."""

    def __init__(self, sign_in: Callable[[], Gateway]) -> None:
        self._sign_in = cache(sign_in)

    def moved(self, provider: str, kind: str, begins: datetime, ends: datetime) -> list[Moved] | None:
        path, found, token = f"/v1/operations/providers/{provider}/movements", [], ""
        span = {"kind": f"MOVEMENT_KIND_{kind}", "since": _instant(begins), "until": _instant(ends)}
        try:
            while True:
                page = self._sign_in().get(path, **span, page_size=_PAGE, page_token=token)
                found += [moved_of(each) for each in page.get("movements", [])]
                token = page.get("next_page_token", "")
                if not token:
                    return found
        except Refused as refusal:
            if refusal.reason == "PROVIDER_NOT_FOUND":
                return None
            raise ProviderAway(f"{provider} cannot be asked: {refusal}") from refusal
        except Unreachable as fault:
            raise ProviderAway(str(fault)) from fault


def moved_of(told: Json) -> Moved:
    """A ProviderMovement of the contract, as JSON. What carries none of our ids goes by the provider's own name."""
    money, at = told.get("amount"), told.get("at")
    return Moved(
        reference=told.get("reference") or told["external_reference"],
        external_reference=told["external_reference"],
        state=_STATES[told["state"]],
        currency=money["currency_code"] if money else "",
        amount=Decimal(money["amount"]) if money else None,
        at=datetime.fromisoformat(at) if at else None,
    )


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
