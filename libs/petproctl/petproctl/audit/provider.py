"""What the sandbox itself says of charges and refunds. Tests may play it by another class of this shape."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

import httpx

LISTED = "sandbox"
"""The provider whose list is read here, as our payments name it. Payment reads those of others: see `lists`."""

_PAGE = 100


@dataclass(frozen=True)
class Charge:
    """One attempt to take money. `changed_at` is when it was made, or when the money was taken."""

    id: str
    reference: str
    currency: str
    captured: Decimal
    refunded: Decimal
    changed_at: datetime


@dataclass(frozen=True)
class Return:
    """Money on its way back, gone, or sent back by the bank: pending, succeeded, failed."""

    id: str
    reference: str
    amount: Decimal
    status: str
    changed_at: datetime


class ProviderAway(Exception):
    """The provider did not answer as agreed."""


class Provider(Protocol):
    """Read-only. Every method raises ProviderAway."""

    def charges(self, since: datetime | None) -> Iterator[list[Charge]]:
        """In pages, all charges that were made or changed since then; without an instant, all there are."""
        ...

    def refunds(self, since: datetime | None) -> Iterator[list[Return]]:
        """The same of refunds."""
        ...

    def charge(self, charge_id: str) -> Charge | None: ...

    def charges_of(self, reference: str) -> list[Charge]: ...

    def refunds_of(self, reference: str) -> list[Return]: ...


class Sandbox:
    """The payment sandbox's API."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def charges(self, since: datetime | None) -> Iterator[list[Charge]]:
        for page in self._pages("/v1/payment_intents", since):
            yield [_charge(each) for each in page]
        for reference in self._happened("payment_intent", since):
            yield self.charges_of(reference)

    def refunds(self, since: datetime | None) -> Iterator[list[Return]]:
        for page in self._pages("/v1/refunds", since):
            yield [_return(each) for each in page]
        for reference in self._happened("refund", since):
            yield self.refunds_of(reference)

    def charge(self, charge_id: str) -> Charge | None:
        answer = self._get(f"/v1/payment_intents/{charge_id}", {})
        return None if answer is None else _charge(answer)

    def charges_of(self, reference: str) -> list[Charge]:
        found = self._get("/v1/payment_intents", {"reference": reference})
        return [_charge(each) for each in (found or {"data": []})["data"]]

    def refunds_of(self, reference: str) -> list[Return]:
        found = self._get("/v1/refunds", {"reference": reference})
        return [_return(each) for each in (found or {"data": []})["data"]]

    def _happened(self, kind: str, since: datetime | None) -> Iterator[str]:
        """References of older objects to which something happened: paid late, or sent back by the bank."""
        if since is None:
            return
        for page in self._pages("/v1/events", since):
            objects = (event["data"]["object"] for event in page)
            yield from {
                each["reference"]
                for each in objects
                if each["object"] == kind and datetime.fromisoformat(each["created"]) < since
            }

    def _pages(self, path: str, since: datetime | None) -> Iterator[list[dict[str, Any]]]:
        query = {"limit": str(_PAGE)} | ({"created_from": since.isoformat()} if since else {})
        while answer := self._get(path, query):
            yield answer["data"]
            if not answer["has_more"]:
                return
            query["starting_after"] = answer["data"][-1]["id"]

    def _get(self, path: str, query: Mapping[str, str]) -> dict[str, Any] | None:
        try:
            answer = self._client.get(path, params=query)
            if answer.status_code == httpx.codes.NOT_FOUND:
                return None
            return dict(answer.raise_for_status().json())
        except (httpx.HTTPError, ValueError) as fault:
            raise ProviderAway(f"The payment provider cannot be asked: {fault}") from fault


def _charge(told: Mapping[str, Any]) -> Charge:
    captured, refunded = Decimal(told["amount_captured"]), Decimal(told["amount_refunded"])
    changed_at = datetime.fromisoformat(told["captured_at"] or told["created"])
    return Charge(told["id"], told["reference"], told["currency"], captured, refunded, changed_at)


def _return(told: Mapping[str, Any]) -> Return:
    changed_at = datetime.fromisoformat(told["created"])
    return Return(told["id"], told["reference"], Decimal(told["amount"]), told["status"], changed_at)
