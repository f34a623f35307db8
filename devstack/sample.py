"""The sample data of the dev stack (`sample.yaml`), loaded through the gateway as people's apps would.

Loading again changes nothing: what is there is found by its name, and each call has a key made of what it says.
Slots are made for the coming two weeks, so a stack that was down for a while has free slots again.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

import yaml

from devstack.api import Api, Json, Refused, open_client
from devstack.stack import Stack

DATA = Path(__file__).with_suffix(".yaml")
DAYS_AHEAD = 14
_AT_ONCE = 8
_CLOSED_DAYS = 2
"""No clinic of the sample is closed for longer."""
_PRICE_STEP = 5000


@dataclass(frozen=True)
class _Crew:
    """Who loads, and what there is to choose from."""

    owner: Api
    admin: Api
    data: Json


async def load(stack: Stack) -> None:
    """Load what is not there yet. Raises Refused when a service says no."""
    endpoints: Json = dict(stack.endpoints)
    await load_through(endpoints["gateway_url"], endpoints["users"])


async def load_through(gateway_url: str, users: dict[str, dict[str, str]]) -> None:
    """The same for a gateway and people by their role, as stack.json names them."""
    data: Json = yaml.safe_load(DATA.read_text())
    async with open_client(gateway_url) as client:
        visitor = Api(client)
        customer, owner, admin = await asyncio.gather(
            _register(visitor, users["customer"], data["people"]["customer"]["user"]),
            _register(visitor, users["clinic_owner"], data["people"]["clinic_owner"]["user"]),
            visitor.sign_in(**users["admin"]),
        )
        known = {clinic["name"]: clinic async for clinic in _all(owner, "/v1/clinics", "clinics", mine=True)}
        room = asyncio.Semaphore(_AT_ONCE)
        crew = _Crew(owner, admin, data)

        async def open_in_turn(wanted: Json) -> None:
            async with room:
                await _open_clinic(crew, wanted, known.get(wanted["name"]))

        async with asyncio.TaskGroup() as group:
            group.create_task(_add_pets(customer, data["people"]["customer"]["pets"]))
            for wanted in data["clinics"]:
                group.create_task(open_in_turn(wanted))


async def _register(visitor: Api, credentials: dict[str, str], user: Json) -> Api:
    """Sign in, after registering where that has not been done."""
    try:
        return await visitor.sign_in(**credentials)
    except Refused as refused:
        if refused.reason != "BAD_CREDENTIALS":
            raise
    await visitor.post("/v1/users", {**user, **credentials})
    return await visitor.sign_in(**credentials)


async def _add_pets(customer: Api, wanted: Iterable[Json]) -> None:
    known = {pet["name"] async for pet in _all(customer, "/v1/pets", "pets")}
    for pet in wanted:
        if pet["name"] not in known:
            await _once(customer, "/v1/pets", {"pet": pet})


async def _open_clinic(crew: _Crew, wanted: Json, known: Json | None) -> None:
    clinic = known or (await _once(crew.owner, "/v1/clinics", {"clinic": _clinic(crew.data, wanted)}))["clinic"]
    path = f"/v1/clinics/{clinic['id']}"
    if clinic["status"] == "CLINIC_STATUS_PENDING" and not wanted.get("is_pending"):
        await crew.admin.post(f"{path}:approve")
    is_new = known is None
    people = [_person(wanted, said) for said in wanted["staff"]]
    staff = await _add_missing(crew.owner, f"{path}/staff", "staff", "staff", people, is_new)
    offers = [crew.data["services"][key] for key in wanted["offers"]]
    described = [_service(crew.data, offer, wanted) for offer in offers]
    services = await _add_missing(crew.owner, f"{path}/services", "services", "service", described, is_new)
    for offer, service in zip(offers, services, strict=True):
        who = next((one["id"] for one in staff if one["role"] == offer.get("by")), "")
        await _make_slots(crew.owner, service["id"], who, offer["seats"], is_new)


async def _add_missing(owner: Api, path: str, plural: str, name: str, wanted: list[Json], is_new: bool) -> list[Json]:
    """Each of what is wanted, found by its name or added; a new clinic has none to be found."""
    known = {} if is_new else {one["name"]: one async for one in _all(owner, path, plural)}
    return [known.get(one["name"]) or (await _once(owner, path, {name: one}))[name] for one in wanted]


async def _make_slots(owner: Api, service_id: str, who: str, seats: int, is_new: bool) -> None:
    path = f"/v1/services/{service_id}/slots"
    first = datetime.now(UTC).date() + timedelta(days=1)  # the clocks of Indonesia are ahead: today may be over there
    last = first + timedelta(days=DAYS_AHEAD - 1)
    if not is_new:
        latest = await owner.get(path, from_date=last - timedelta(days=_CLOSED_DAYS), to_date=last, page_size=1)
        if latest["slots"]:
            return
    wanted = {"staff_id": who, "from_date": first.isoformat(), "to_date": last.isoformat(), "capacity": seats}
    await _once(owner, f"{path}:generate", wanted)


async def _once(api: Api, path: str, body: Json) -> Json:
    return await api.post(path, body, key=f"sample-{uuid5(NAMESPACE_URL, f'{path} {body}')}")


async def _all(api: Api, path: str, name: str, **query: object) -> AsyncIterator[Json]:
    """Every row of a list, over all its pages."""
    token = ""
    while True:
        page = await api.get(path, **query, page_size=100, page_token=token)
        for row in page.get(name, []):
            yield row
        token = page.get("next_page_token", "")
        if not token:
            return


def _clinic(data: Json, wanted: Json) -> Json:
    same = ("name", "address", "city", "province", "postal_code", "timezone", "facilities")
    clinic: Json = {key: wanted[key] for key in same if key in wanted}
    clinic["latitude"], clinic["longitude"] = wanted["at"]
    clinic["email"] = f"hello@{_slug(wanted['name'])}.example"
    clinic["phone_number"] = f"+62 811 555 {int(wanted['postal_code']) % 10000:04}"
    if "hours" in wanted:
        clinic["operating_hours"] = {day: _day(hours) for day, hours in data["hours"][wanted["hours"]].items()}
    if "policy" in wanted:
        clinic["cancellation_policy"] = data["policies"][wanted["policy"]]
    return clinic


def _day(hours: str) -> Json:
    opens, closes = hours.split("-")
    return {"open": f"{opens}:00", "close": f"{closes}:00", "is_open": True}


def _person(clinic: Json, said: str) -> Json:
    """`Name` is a veterinarian, `Name (role)` is what it says."""
    name, _, role = said.partition(" (")
    address = f"{_slug(name.removeprefix('drh. '))}@{_slug(clinic['name'])}.example"
    return {"name": name, "email": address, "role": role.rstrip(")") or "veterinarian"}


def _service(data: Json, offer: Json, clinic: Json) -> Json:
    price = Decimal(str(clinic["level"])) * offer["price"] / _PRICE_STEP
    own_policy = {"cancellation_policy": data["policies"][offer["policy"]]} if "policy" in offer else {}
    return own_policy | {
        "name": offer["name"],
        "description": offer["description"],
        "price": {"amount": f"{round(price) * _PRICE_STEP}.00", "currency_code": "IDR"},
        "duration_minutes": offer["minutes"],
        "requires_approval": offer.get("requires_approval", False),
    }


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
