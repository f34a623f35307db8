"""Every SQL statement about clinics, their policies and the search among them.

`viewer` is the person who looks, or None: it only tells whether they work at the clinic.
"""

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Float,
    Integer,
    Numeric,
    Row,
    Select,
    String,
    Uuid,
    and_,
    bindparam,
    cast,
    exists,
    func,
    insert,
    literal,
    literal_column,
    select,
    tuple_,
    update,
)

from petpro_catalog import hours
from petpro_catalog.domain import Clinic, ClinicDetails, ClinicStatus
from petpro_catalog.policy import Policy, tiers_from_json, tiers_to_json
from petpro_catalog.tables import cancellation_policies, clinics, staff
from petpro_common.db import Transaction

_METRES = 1000.0
_PATTERN_SIGNS = re.compile(r"[%_\\]")

# Written as in idx_clinics_words and idx_clinics_geolocation, or these would not be used.
_WORDS: ColumnElement[str] = literal_column("(clinics.name || ' ' || coalesce(clinics.description, ''))")
_PLACE: ColumnElement[Any] = func.ll_to_earth(clinics.c.latitude, clinics.c.longitude)
_EARTH: ColumnElement[Any] = func.ll_to_earth(*(bindparam(name, type_=Float()) for name in ("latitude", "longitude")))
# The straight line through the earth, in metres: it grows with the way over ground, and the index orders by it.
_DISTANCE: ColumnElement[float] = _PLACE.op("<->", return_type=Float())(_EARTH)
_AVERAGE_RATING: ColumnElement[Any] = func.round(
    cast(clinics.c.rating_sum, Numeric) / func.nullif(clinics.c.review_count, 0), 2
)


After = tuple[str | float, UUID]
"""The sort key of a row in a search: name, or distance as the search orders by it, and id."""


@dataclass(frozen=True)
class Point:
    """Degrees north and east, WGS 84, and how far around it to look."""

    latitude: float
    longitude: float
    radius_km: float


@dataclass(frozen=True)
class Wanted:
    """What a search is for. None and empty mean any."""

    words: tuple[str, ...] = ()
    city: str = ""
    near: Point | None = None
    of_person: UUID | None = None
    status: ClinicStatus | None = None


@dataclass(frozen=True)
class Found:
    """A clinic and its place in the order of the search: distance or name, then id."""

    clinic: Clinic
    key: After


async def clinic(tx: Transaction, clinic_id: UUID, viewer: UUID | None, *, lock: bool = False) -> Clinic | None:
    """One clinic. With `lock` its row stays as it is until the transaction ends."""
    if lock:
        # A statement of its own: one that waits for the lock would see the new clinic, and of its policies the old.
        tx.write(select(clinics.c.id).where(clinics.c.id == clinic_id).with_for_update())
    values = {"clinic_id": clinic_id, "viewer": viewer}
    row = (await tx.execute(_clinic_by_id(viewer is not None), values)).first()
    return _clinic(row) if row else None


def add_clinic(tx: Transaction, clinic_id: UUID, owner_id: UUID, details: ClinicDetails) -> None:
    """A new clinic, pending, with version 1 of its policy."""
    tx.write(insert(clinics).values(id=clinic_id, owner_id=owner_id, **_columns(details)))
    add_policy(tx, clinic_id, 1, details.cancellation_policy)


def add_policy(tx: Transaction, clinic_id: UUID, version: int, policy: Policy) -> None:
    """A version of a clinic's policy; versions are never changed."""
    row = {"tiers": tiers_to_json(policy.tiers), "no_show_fee_percent": policy.no_show_fee_percent}
    tx.write(insert(cancellation_policies).values(clinic_id=clinic_id, version=version, **row))


def edit_clinic(tx: Transaction, clinic_id: UUID, details: ClinicDetails, policy_version: int) -> None:
    """Writes what was edited and counts the version up. The caller holds the row's lock."""
    _update(tx, clinic_id, policy_version=policy_version, **_columns(details))


def set_status(tx: Transaction, clinic_id: UUID, status: ClinicStatus) -> None:
    """Writes the status and counts the version up. The caller holds the row's lock."""
    _update(tx, clinic_id, status=status.value)


async def search(tx: Transaction, wanted: Wanted, viewer: UUID | None, after: After | None, limit: int) -> list[Found]:
    """Clinics after the sort key `after`: nearest first around a point, by name elsewhere.

    Around a point only clinics that say where they are; the GiST index finds and orders them.
    """
    kind = _Kind(
        words=len(wanted.words),
        in_city=bool(wanted.city),
        near=wanted.near is not None,
        of_person=wanted.of_person is not None,
        of_status=wanted.status is not None,
        has_viewer=viewer is not None,
        goes_on=after is not None,
    )
    values = {
        "city": wanted.city,
        "person": wanted.of_person,
        "status": wanted.status and wanted.status.value,
        "viewer": viewer,
        "limit": limit,
        **(_around(wanted.near) if wanted.near else {}),
        **{f"word_{number}": _part_of(word) for number, word in enumerate(wanted.words)},
        **({"after_key": after[0], "after_id": after[1]} if after else {}),
    }
    rows = (await tx.execute(_search(kind), values)).all()
    return [Found(_clinic(row), (row.sort_key, row.id)) for row in rows]


@dataclass(frozen=True)
class _Kind:
    """What a search asks for, without the values: searches of one kind are one statement, which is built once."""

    words: int
    in_city: bool
    near: bool
    of_person: bool
    of_status: bool
    has_viewer: bool
    goes_on: bool


@lru_cache(maxsize=256)
def _search(kind: _Kind) -> Select[Any]:
    order = _DISTANCE if kind.near else clinics.c.name
    query = _clinics_with_policy(kind.has_viewer).add_columns(order.label("sort_key")).where(*_conditions(kind))
    if kind.goes_on:
        after = tuple_(bindparam("after_key", type_=order.type), bindparam("after_id", type_=Uuid()))
        query = query.where(tuple_(order, clinics.c.id) > after)
    if kind.near:
        query = query.add_columns((func.sec_to_gc(order) / _METRES).label("distance_km"))
    return query.order_by(order, clinics.c.id).limit(bindparam("limit", type_=Integer()))


def _conditions(kind: _Kind) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [_WORDS.ilike(bindparam(f"word_{number}")) for number in range(kind.words)]
    if kind.in_city:
        conditions.append(func.lower(clinics.c.city) == func.lower(bindparam("city", type_=String())))
    if kind.near:
        radius = bindparam("radius_m", type_=Float())
        conditions.append(func.earth_box(_EARTH, radius).op("@>", is_comparison=True)(_PLACE))
        conditions.append(func.sec_to_gc(_DISTANCE) <= radius)
    if kind.of_person:
        conditions.append(clinics.c.id.in_(_clinics_of("person")))
    if kind.of_status:
        conditions.append(clinics.c.status == bindparam("status", type_=String()))
    return conditions


def _part_of(word: str) -> str:
    """The pattern of texts that hold `word`, whose own signs mean nothing."""
    plain = _PATTERN_SIGNS.sub(r"\\\g<0>", word)
    return f"%{plain}%"


def _around(point: Point) -> dict[str, float]:
    return {
        "latitude": point.latitude,
        "longitude": point.longitude,
        "radius_m": point.radius_km * _METRES,
    }


def _works_here(person: str) -> ColumnElement[bool]:
    """Whether the person in that parameter does."""
    return exists().where(and_(staff.c.clinic_id == clinics.c.id, staff.c.user_id == bindparam(person, type_=Uuid())))


def _clinics_of(person: str) -> CompoundSelect[Any]:
    """The clinics that they own or work for, each kind by its index: with an OR all clinics would be read."""
    who = bindparam(person, type_=Uuid())
    owned = clinics.alias("owned")
    by_owner = select(owned.c.id).where(owned.c.owner_id == who)
    return by_owner.union_all(select(staff.c.clinic_id).where(staff.c.user_id == who))


@cache
def _clinics_with_policy(has_viewer: bool) -> Select[Any]:
    policy = and_(
        cancellation_policies.c.clinic_id == clinics.c.id, cancellation_policies.c.version == clinics.c.policy_version
    )
    return select(
        clinics,
        cancellation_policies.c.tiers,
        cancellation_policies.c.no_show_fee_percent,
        (_works_here("viewer") if has_viewer else literal(False)).label("viewer_works_here"),
        _AVERAGE_RATING.label("average_rating"),
    ).join(cancellation_policies, policy)


@cache
def _clinic_by_id(has_viewer: bool) -> Select[Any]:
    return _clinics_with_policy(has_viewer).where(clinics.c.id == bindparam("clinic_id", type_=Uuid()))


def _update(tx: Transaction, clinic_id: UUID, **values: Any) -> None:
    counted = {"version": clinics.c.version + 1, "updated_at": func.now()}
    tx.write(update(clinics).where(clinics.c.id == clinic_id).values(**values, **counted))


def _columns(details: ClinicDetails) -> dict[str, Any]:
    return {
        "name": details.name,
        "address": details.address,
        "city": details.city,
        "province": details.province,
        "postal_code": details.postal_code,
        "latitude": details.latitude,
        "longitude": details.longitude,
        "phone_number": details.phone_number,
        "email": details.email,
        "website": details.website or None,
        "description": details.description or None,
        "operating_hours": hours.to_json(details.operating_hours),
        "facilities": list(details.facilities),
        "commission_rate": details.commission_rate,
        "timezone": details.timezone,
    }


def _clinic(row: Row[Any]) -> Clinic:
    details = ClinicDetails(
        name=row.name,
        address=row.address,
        city=row.city,
        province=row.province,
        postal_code=row.postal_code,
        latitude=row.latitude,
        longitude=row.longitude,
        phone_number=row.phone_number,
        email=row.email,
        website=row.website or "",
        description=row.description or "",
        operating_hours=hours.from_json(row.operating_hours),
        facilities=tuple(row.facilities),
        commission_rate=row.commission_rate,
        timezone=row.timezone,
        cancellation_policy=Policy(tiers_from_json(row.tiers), row.no_show_fee_percent),
    )
    return Clinic(
        id=row.id,
        owner_id=row.owner_id,
        status=ClinicStatus(row.status),
        details=details,
        policy_version=row.policy_version,
        version=row.version,
        created_at=row.created_at,
        updated_at=row.updated_at,
        viewer_works_here=row.viewer_works_here,
        average_rating=row.average_rating,
        review_count=row.review_count,
        distance_km=getattr(row, "distance_km", None),
    )
