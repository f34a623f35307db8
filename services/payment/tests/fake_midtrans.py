"""A contract fake of Midtrans' Core API, as its public reference describes it.

Kept is what the adapter builds on: an order_id is charged once, a refund_key is refunded once and within what was
taken, HTTP says 200 while the body says what happened, and the signature of a notification covers order, code and
amount alone. Cards are chosen by their token.
"""

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from hashlib import sha512
from typing import Any
from uuid import uuid4

from aiohttp import encode_basic_auth, web

from services.payment.tests.loopback import lost

SERVER_KEY = "SB-Mid-server-of-nobody"
_CARDS: dict[str, dict[str, str]] = {
    "good": {"status_code": "200", "transaction_status": "capture", "fraud_status": "accept"},
    "3ds": {"status_code": "201", "transaction_status": "pending", "redirect_url": "https://pay.example/3ds"},
    "denied": {"status_code": "202", "transaction_status": "deny", "channel_response_code": "05"},
    "poor": {"status_code": "202", "transaction_status": "deny", "channel_response_code": "51"},
    "odd": {"status_code": "201", "transaction_status": "capture", "fraud_status": "challenge"},
}
_PENDING = {"status_code": "201", "transaction_status": "pending"}
_SHOWN_ONCE = ("actions", "qr_string", "redirect_url")
_Json = dict[str, Any]


def _now() -> str:
    return datetime.now(timezone(timedelta(hours=7))).strftime("%Y-%m-%d %H:%M:%S")


def _said(code: str, message: str = "") -> web.Response:
    return web.json_response({"status_code": code, "status_message": message})


@dataclass
class FakeMidtrans:
    """`mute`: it does what it is asked, and its answer is lost. `refuses`: the code by which it refuses refunds.

    `lags`: what it has given back does not show yet.
    """

    mute: bool = False
    lags: bool = False
    refuses: str = ""
    transactions: dict[str, _Json] = field(default_factory=dict)
    notifications: list[bytes] = field(default_factory=list)

    def routes(self) -> list[web.RouteDef]:
        """To be served."""
        return [
            web.post("/v2/charge", self._charge),
            web.get("/v2/{order_id}/status", self._status),
            web.post("/v2/{order_id}/cancel", self._cancel),
            web.post("/v2/{order_id}/refund", self._refund),
        ]

    def becomes(self, order_id: object, status: str, **fields: str) -> bytes:
        """The transaction moves on, and a notification of it leaves."""
        transaction = self.transactions[str(order_id)]
        transaction.update(transaction_status=status, status_code="200", **fields)
        if status == "settlement":
            transaction["settlement_time"] = _now()
        return self.notify(order_id)

    def notify(self, order_id: object) -> bytes:
        """A signed notification of the transaction as it is."""
        said = self.transactions[str(order_id)]
        signed = f"{said['order_id']}{said['status_code']}{said['gross_amount']}{SERVER_KEY}"
        body = {**said, "signature_key": sha512(signed.encode()).hexdigest()}
        self.notifications.append(json.dumps(body).encode())
        return self.notifications[-1]

    def confirm(self, order_id: object) -> bytes:
        """The bank confirms all refunds of the transaction."""
        for refund in self.transactions[str(order_id)]["refunds"]:
            refund["bank_confirmed_at"] = _now()
        return self.notify(order_id)

    async def _charge(self, request: web.Request) -> web.StreamResponse:
        asked = await self._body(request)
        if isinstance(asked, web.Response):
            return asked
        order_id, amount = asked["transaction_details"]["order_id"], asked["transaction_details"]["gross_amount"]
        card = asked.get("credit_card", {}).get("token_id")
        if order_id in self.transactions:
            return _said("406", "The request could not be completed due to a conflict")
        if not isinstance(amount, int) or (asked["payment_type"] == "credit_card" and card not in _CARDS):
            return _said("411", "Token id is missing, invalid, or timed out")
        made = {
            "transaction_id": str(uuid4()),
            "order_id": order_id,
            "gross_amount": f"{amount}.00",
            "currency": "IDR",
            "payment_type": asked["payment_type"],
            "transaction_time": _now(),
            **_shown(asked),
            **(_CARDS[card] if card else _PENDING),
        }
        self.transactions[order_id] = made
        return await self._answer(request, made)

    async def _status(self, request: web.Request) -> web.Response:
        found = self._of(request)
        if isinstance(found, web.Response):
            return found
        hidden = (*_SHOWN_ONCE, "refunds") if self.lags else _SHOWN_ONCE
        return web.json_response({name: value for name, value in found.items() if name not in hidden})

    async def _cancel(self, request: web.Request) -> web.StreamResponse:
        found = self._of(request)
        if isinstance(found, web.Response):
            return found
        if found["transaction_status"] not in ("pending", "capture", "authorize"):
            return _said("412", "Merchant cannot modify the status of the transaction")
        found.update(transaction_status="cancel", status_code="200")
        return await self._answer(request, found)

    async def _refund(self, request: web.Request) -> web.StreamResponse:
        found, asked = self._of(request), await self._body(request)
        if isinstance(found, web.Response):
            return found
        assert isinstance(asked, dict)
        refunds = found.setdefault("refunds", [])
        left = int(found["gross_amount"].partition(".")[0]) - sum(int(each["refund_amount"]) for each in refunds)
        if self.refuses:
            return _said(self.refuses, "no")
        if asked["refund_key"] in [each["refund_key"] for each in refunds]:
            return _said("406", "Duplicate refund ID")
        if found["transaction_status"] not in ("settlement", "partial_refund") or asked["amount"] > left:
            return _said("412", "Merchant cannot modify the status of the transaction")
        made = {"refund_chargeback_id": len(refunds) + 1, "refund_amount": str(asked["amount"]), "created_at": _now()}
        refunds.append({**made, "refund_key": asked["refund_key"]})
        found.update(transaction_status="refund" if asked["amount"] == left else "partial_refund", status_code="200")
        return await self._answer(request, {**found, **refunds[-1]})

    def _of(self, request: web.Request) -> _Json | web.Response:
        refused = self._refused(request)
        return refused or self.transactions.get(request.match_info["order_id"]) or _said("404", "not found")

    async def _body(self, request: web.Request) -> _Json | web.Response:
        asked: _Json = json.loads(await request.read())
        return self._refused(request) or asked

    def _refused(self, request: web.Request) -> web.Response | None:
        expected = encode_basic_auth(SERVER_KEY)
        return None if request.headers.get("authorization") == expected else _said("401", "Access denied")

    async def _answer(self, request: web.Request, said: _Json) -> web.StreamResponse:
        if self.mute:
            return await lost(request)
        return web.json_response(said)


def _shown(asked: _Json) -> _Json:
    """What the customer needs to pay."""
    match asked["payment_type"]:
        case "qris":
            return {"qr_string": "00020101"}
        case "bank_transfer" if asked["bank_transfer"]["bank"] == "permata":
            return {"permata_va_number": "8562000087926752"}
        case "bank_transfer":
            return {"va_numbers": [{"bank": asked["bank_transfer"]["bank"], "va_number": "812785002530231"}]}
        case "credit_card":
            return {}
        case _:
            pages = [{"name": "deeplink-redirect", "method": "GET", "url": "https://pay.example/wallet"}]
            return {"actions": [{"name": "cancel", "method": "POST", "url": "https://pay.example/no"}, *pages]}
