"""Customers who mostly look, as on a working day; other sections do one thing as fast as they can."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from bench.load import Operation
from bench.session import Session
from bench.stage import Stage
from bench.story import NEAREST, Customer

LOOKS = 15
"""Look-ups and searches of one visit."""
_VISITS_A_CANCELLATION, _VISITS_A_SIGN_IN = 2, 40


@dataclass(frozen=True)
class Visits:
    """Each looks around and books; every second one cancels again, every fortieth signs in before."""

    gateway: str
    token: str
    login: tuple[tuple[str, str], ...]
    dsn: str
    pet_id: str
    clinic_id: str
    service_id: str
    slot_ids: tuple[str, ...]

    def share(self, number: int, of: int) -> Self:  # noqa: ARG002 - seats enough for all
        return self

    def start(self, session: Session) -> Operation:
        customer = Customer(session, self.gateway, self.token, self.dsn)
        slots, numbers = itertools.cycle(self.slot_ids), itertools.count()

        async def once() -> bytes:
            number = next(numbers)
            if number % _VISITS_A_SIGN_IN == 0:
                await customer.post("/v1/auth/token", dict(self.login))
            for path in self._before():
                await customer.get(path)
            booking_id = await customer.book(next(slots), self.pet_id)
            for path in _after(f"/v1/bookings/{booking_id}"):
                await customer.get(path)
            if number % _VISITS_A_CANCELLATION == 0:
                await customer.cancel(booking_id)
            return b""

        return once

    def _before(self) -> Iterator[str]:
        clinic, free = f"/v1/clinics/{self.clinic_id}", f"/v1/services/{self.service_id}/slots?available_only=true"
        yield from (NEAREST, NEAREST, clinic, f"{clinic}/services", f"{clinic}/reviews", "/v1/users/me", "/v1/pets")
        yield from (f"{free}&page_size=20", f"{free}&page_size=5", f"{free}&page_size=1")


def _after(booking: str) -> Iterator[str]:
    yield from (booking, f"{booking}/refund-quote", "/v1/bookings?page_size=10")
    yield from ("/v1/notifications?page_size=10", "/v1/users/me")


def visits(stage: Stage) -> Visits:
    """Of the stage's customer."""
    login, slots = tuple(stage.login.items()), tuple(stage.slot_ids)
    return Visits(
        stage.gateway, stage.token, login, stage.dsn(), stage.pet_id, stage.clinic_id, stage.service_id, slots
    )
