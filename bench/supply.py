"""What sagas are measured on: seats that are held and bookings that are paid, all made through the API."""

from dataclasses import dataclass, replace
from typing import Self

from bench import work
from bench.load import NothingLeft, Operation, Work
from bench.measure import Meter
from bench.session import Session
from bench.wire import Reply
from petpro.booking.v1 import booking_pb2

_CALLERS = 16


@dataclass(frozen=True)
class Times:
    """A work that ends after so many times."""

    work: Work
    count: int

    def share(self, number: int, of: int) -> Self:
        return replace(self, work=self.work.share(number, of), count=self.count // of)

    def start(self, session: Session) -> Operation:
        operation, left = self.work.start(session), iter(range(self.count))

        async def once() -> bytes:
            if next(left, None) is None:
                raise NothingLeft
            return await operation()

        return once


async def holds(meter: Meter, count: int) -> list[tuple[str, str]]:
    """Seats that the customer holds: (reservation, its secret)."""
    await meter.stage.renew_token()
    answers = await meter.answers(Times(work.hold_of_customer(meter.stage), count), _CALLERS)
    replies = [booking_pb2.CreateReservationResponse.FromString(_message(answer)) for answer in answers]
    return [(reply.reservation.id, reply.reservation.lock_id) for reply in replies]


async def bookings(meter: Meter, count: int, payment_token: str = "tok_success") -> list[str]:  # noqa: S107
    """Bookings that are paid; with another test value the provider does something else with their refund."""
    held = await holds(meter, count)
    return booked(await meter.answers(work.checkout(meter.stage, held, payment_token), _CALLERS))


def booked(answers: list[bytes]) -> list[str]:
    """The bookings that checkouts were answered with."""
    replies = [booking_pb2.CheckoutReservationResponse.FromString(_message(answer)) for answer in answers]
    return [reply.reservation.booking_id for reply in replies]


def _message(answer: bytes) -> bytes:
    return Reply(ok=True, body=answer, end=b"").message()
