"""A contract fake of Xendit: payment requests, payments, refunds and callbacks, as its public reference describes them.

Kept is what the adapter builds on: idempotency keys, closed amounts, refunds that are pending first and within what
was taken, and callbacks that are not signed. Cards are chosen by their payment method id.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from aiohttp import encode_basic_auth, web

from services.payment.tests.loopback import lost

SECRET_KEY, CALLBACK_TOKEN = "xnd_of_nobody", "a-callback-token"
_CARDS = {"pm-good": "SUCCEEDED", "pm-3ds": "REQUIRES_ACTION", "pm-declined": "FAILED", "pm-poor": "FAILED"}
_FAILURES = {"pm-declined": "CARD_DECLINED", "pm-poor": "INSUFFICIENT_BALANCE"}
_ACTIONS = [{"action": "AUTH", "url_type": "WEB", "method": "GET", "url": "https://pay.example/1"}]
_Json = dict[str, Any]
Callback = tuple[dict[str, str], bytes]


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def _error(status: int, code: str) -> web.Response:
    return web.json_response({"error_code": code, "message": code.lower()}, status=status)


@dataclass
class FakeXendit:
    """`mute`: it does what it is asked, and its answer is lost. `refuses`: the code by which it refuses refunds."""

    mute: bool = False
    refuses: str = ""
    requests: dict[str, _Json] = field(default_factory=dict)
    payments: list[_Json] = field(default_factory=list)
    refunds: dict[str, _Json] = field(default_factory=dict)
    callbacks: list[Callback] = field(default_factory=list)
    answers: dict[str, tuple[bytes, web.Response]] = field(default_factory=dict)

    def routes(self) -> list[web.RouteDef]:
        """To be served."""
        return [
            web.post("/payment_requests", self._create_request),
            web.get("/payment_requests", self._list_requests),
            web.get("/payment_requests/{id}", self._get_request),
            web.get("/v2/payment_methods/{id}/payments", self._list_payments),
            web.post("/v2/payment_methods/{id}/expire", self._expire),
            web.post("/refunds", self._create_refund),
            web.get("/refunds", self._list_refunds),
            web.get("/refunds/{id}", self._get_refund),
            web.get("/transactions", self._list_transactions),
        ]

    def request_of(self, reference: object) -> _Json:
        (found,) = [each for each in self.requests.values() if each["reference_id"] == str(reference)]
        return found

    def pay(self, reference: object, amount: float | None = None) -> None:
        """The customer pays, as much as was asked or another amount."""
        request = self.request_of(reference)
        request.update(status="SUCCEEDED", updated=_now())
        taken = {"id": f"py-{uuid4()}", "status": "SUCCEEDED", "payment_request_id": request["id"], "updated": _now()}
        payment = {**taken, "amount": amount or request["amount"], "currency": request["currency"]}
        self.payments.append({**payment, "payment_method": request["payment_method"]})
        self._tell("payment.succeeded", self.payments[-1])

    def settle(self, name: object, status: str = "SUCCEEDED", why: str = "ACCOUNT_CLOSED") -> None:
        """The bank lets a refund through, or does not. It is named by its id, or by the reference that it alone has."""
        (refund,) = [each for each in self.refunds.values() if str(name) in (each["id"], each["reference_id"])]
        refund.update(status=status, failure_code=why if status == "FAILED" else None)
        self._tell(f"refund.{status.lower()}", refund)

    def _tell(self, event: str, data: _Json) -> None:
        body = {"event": event, "business_id": "5f27a14a9bf05c73dd040bc8", "created": _now(), "data": data}
        headers = {"x-callback-token": CALLBACK_TOKEN, "webhook-id": str(uuid4())}
        self.callbacks.append((headers, json.dumps(body).encode()))

    async def _create_request(self, request: web.Request) -> web.StreamResponse:
        return await self._once(request, self._new_request)

    def _new_request(self, asked: _Json) -> web.Response:
        card = asked.get("payment_method_id", "")
        if not isinstance(asked["amount"], int) or asked["currency"] != "IDR":
            return _error(400, "API_VALIDATION_ERROR")
        if card not in _CARDS and "payment_method" not in asked:
            return _error(404, "DATA_NOT_FOUND")
        kind = {"type": "CARD"} if card else _with_details(asked["payment_method"])
        made = {
            "id": f"pr-{uuid4()}",
            "reference_id": asked["reference_id"],
            "amount": asked["amount"],
            "currency": asked["currency"],
            "status": "PENDING",
            "payment_method": {"id": card if card else f"pm-{uuid4()}", **kind},
            "actions": [] if kind["type"] in ("QR_CODE", "VIRTUAL_ACCOUNT") else _ACTIONS,
            "failure_code": _FAILURES.get(card),
            "updated": _now(),
        }
        self.requests[str(made["id"])] = made
        if _CARDS.get(card) == "SUCCEEDED":
            self.pay(asked["reference_id"])
        elif card:
            made["status"] = _CARDS[card]
        return web.json_response(made, status=201)

    async def _create_refund(self, request: web.Request) -> web.StreamResponse:
        return await self._once(request, self._new_refund)

    def _new_refund(self, asked: _Json) -> web.Response:
        if self.refuses:
            return _error(403 if self.refuses.endswith(("SUPPORTED", "INELIGIBLE_TRANSACTION")) else 400, self.refuses)
        about = asked["payment_request_id"]
        taken = sum(each["amount"] for each in self.payments if each["payment_request_id"] == about)
        mine = [each for each in self.refunds.values() if each["payment_request_id"] == about]
        if asked["amount"] + sum(each["amount"] for each in mine if each["status"] != "FAILED") > taken:
            return _error(400, "REFUND_AMOUNT_EXCEEDED")
        made = {**asked, "id": f"rfd-{uuid4()}", "status": "PENDING", "failure_code": None, "created": _now()}
        self.refunds[made["id"]] = made
        return web.json_response(made)

    async def _list_requests(self, request: web.Request) -> web.Response:
        wanted = request.query["reference_id"]
        return self._page(request, [each for each in self.requests.values() if each["reference_id"] == wanted])

    async def _list_payments(self, request: web.Request) -> web.Response:
        method = request.match_info["id"]
        return self._page(request, [each for each in self.payments if each["payment_method"]["id"] == method])

    async def _list_refunds(self, request: web.Request) -> web.Response:
        wanted = request.query["payment_request_id"]
        return self._page(request, [each for each in self.refunds.values() if each["payment_request_id"] == wanted])

    async def _get_request(self, request: web.Request) -> web.Response:
        return self._found(request, self.requests)

    async def _get_refund(self, request: web.Request) -> web.Response:
        return self._found(request, self.refunds)

    async def _expire(self, request: web.Request) -> web.Response:
        (about,) = [each for each in self.requests.values() if each["payment_method"]["id"] == request.match_info["id"]]
        if about["status"] not in ("PENDING", "REQUIRES_ACTION"):
            return _error(409, "INACTIVE_PAYMENT_METHOD")
        about.update(status="EXPIRED", updated=_now())
        return web.json_response(about["payment_method"])

    async def _list_transactions(self, request: web.Request) -> web.Response:
        """Of one type, the newest first."""
        asked = request.query
        about = {each["id"]: each["reference_id"] for each in self.requests.values()}
        paid = [_transaction("PAYMENT", each, about[each["payment_request_id"]]) for each in self.payments]
        given = [_transaction("REFUND", each, each["reference_id"]) for each in self.refunds.values()]
        found = [
            each
            for each in sorted(paid + given, key=lambda each: str(each["created"]), reverse=True)
            if each["type"] == asked["types"] and each["status"] in asked.get("statuses", each["status"])
            if _at(asked["created[gte]"]) <= _at(each["created"]) <= _at(asked["created[lte]"])
        ]
        seen = [each["id"] for each in found].index(asked["after_id"]) + 1 if "after_id" in asked else 0
        page = found[seen : seen + int(asked["limit"])]
        told = {"data": page, "has_more": seen + len(page) < len(found), "links": []}
        return _refused(request) or web.json_response(told)

    def _page(self, request: web.Request, found: list[_Json]) -> web.Response:
        return _refused(request) or web.json_response({"data": found, "has_more": False})

    def _found(self, request: web.Request, among: dict[str, _Json]) -> web.Response:
        found = among.get(request.match_info["id"])
        return _refused(request) or (web.json_response(found) if found else _error(404, "DATA_NOT_FOUND"))

    async def _once(self, request: web.Request, make: Callable[[_Json], web.Response]) -> web.StreamResponse:
        """Once under its idempotency key: the same body has the same answer, another body is refused."""
        key, body = request.headers["idempotency-key"], await request.read()
        if refused := _refused(request):
            return refused
        if key in self.answers and self.answers[key][0] != body:
            return _error(409, "IDEMPOTENCY_ERROR")
        if key not in self.answers:
            self.answers[key] = (body, make(json.loads(body)))
        if self.mute:
            return await lost(request)
        kept = self.answers[key][1]
        return web.Response(body=kept.body, status=kept.status, content_type=kept.content_type)


def _refused(request: web.Request) -> web.Response | None:
    expected = encode_basic_auth(SECRET_KEY)
    return None if request.headers.get("authorization") == expected else _error(401, "INVALID_API_KEY")


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _transaction(type_: str, about: _Json, reference: str) -> _Json:
    status = {"SUCCEEDED": "SUCCESS"}.get(about["status"], about["status"])
    made = {"id": f"txn_{about['id']}", "type": type_, "status": status, "reference_id": reference}
    moved = {"amount": about["amount"], "currency": about["currency"]}
    return {**made, **moved, "product_id": about["id"], "created": about.get("created") or about["updated"]}


def _with_details(means: _Json) -> _Json:
    if means["type"] == "QR_CODE":
        return {"type": "QR_CODE", "qr_code": {**means["qr_code"], "channel_properties": {"qr_string": "00020101"}}}
    if means["type"] == "VIRTUAL_ACCOUNT":
        account = means["virtual_account"]
        number = {**account["channel_properties"], "virtual_account_number": "128081234567"}
        return {"type": "VIRTUAL_ACCOUNT", "virtual_account": {**account, "channel_properties": number}}
    return means
