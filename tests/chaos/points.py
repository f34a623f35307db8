"""The kill points of the matrix, as data: which part dies, at which moment, where, and by which visit it gets there."""

from collections.abc import Iterable
from dataclasses import dataclass

from petpro_common.kill_points import Moment

COMMIT = (Moment.BEFORE_COMMIT, Moment.AFTER_COMMIT)
PUBLISH = (Moment.BEFORE_PUBLISH, Moment.AFTER_PUBLISH)
MARK = (Moment.BEFORE_MARK, Moment.AFTER_MARK)
ACK = (Moment.BEFORE_ACK, Moment.AFTER_ACK)
CALL = (Moment.BEFORE_CALL, Moment.AFTER_CALL)

COMMANDS = {
    "take_payment": "keep",
    "cancel_payment": "think_again",
    "post_booking_fee": "keep",
    "reserve_refund": "cancel",
    "cancel_refund_entry": "be_refused",
}
"""Every command that does not travel with another, and the visit that gives rise to it."""

_RESERVATIONS = "/petpro.booking.v1.ReservationService"


@dataclass(frozen=True)
class Point:
    """`visit` names one of `traffic.VISITS`."""

    part: str
    moment: Moment
    place: str
    visit: str

    @property
    def name(self) -> str:
        return f"{self.part}: {self.moment} {self.place.rpartition('/')[2]}"

    @property
    def pattern(self) -> str:
        return f"{self.moment} {self.place}"


def _points(part: str, moments: Iterable[Moment], place: str, visit: str) -> list[Point]:
    return [Point(part, moment, place, visit) for moment in moments]


BOOKING = [
    *_points("booking", COMMIT, f"{_RESERVATIONS}/CreateReservation", "keep"),
    *_points("booking", COMMIT, f"{_RESERVATIONS}/CheckoutReservation", "keep"),
    *_points("booking", COMMIT, f"{_RESERVATIONS}/ApproveReservation", "ask_first"),
    *_points("booking", COMMIT, "/petpro.booking.v1.BookingService/CancelBooking", "cancel"),
    *_points("booking", COMMIT, "/petpro.booking.v1.BookingService/MarkBookingNoShow", "stay_away"),
    *_points("booking", COMMIT, "/petpro.booking.v1.SagaService/CompensateSaga", "think_again"),
    *(
        point
        for command, visit in COMMANDS.items()
        for point in _points("booking", PUBLISH, f"petpro.commands.payment.{command}", visit)
    ),
    *_points("booking", PUBLISH, "petpro.events.booking.confirmed", "keep"),
    *_points("booking", PUBLISH, "petpro.events.booking.cancelled", "cancel"),
    *_points("booking", PUBLISH, "petpro.events.booking.no_show", "stay_away"),
    *_points("booking", PUBLISH, "petpro.events.reservation.expired", "let_go"),
    *_points("booking", MARK, "relay", "keep"),
    *_points("booking", (*COMMIT, *ACK), "petpro.replies.checkout", "keep"),
    *_points("booking", (*COMMIT, *ACK), "petpro.replies.cancellation", "cancel"),
    *_points("booking", (*COMMIT, *ACK), "petpro.replies.clinic_cancellation", "be_sent_away"),
    *_points("booking", (*COMMIT, *ACK), "petpro.replies.no_show", "stay_away"),
    *_points("booking", (*COMMIT, *ACK), "petpro.events.refund.succeeded", "cancel"),
    *_points("booking", COMMIT, "saga timer", "ask_first"),
    *_points("booking", COMMIT, "expiry", "let_go"),
]
PAYMENT = [
    *(
        point
        for command, visit in COMMANDS.items()
        for point in _points("payment", (*COMMIT, *ACK), f"petpro.commands.payment.{command}", visit)
    ),
    *_points("payment", (*CALL, *COMMIT), "worker payment", "keep"),
    *_points("payment", (*CALL, *COMMIT), "worker refund", "cancel"),
    *_points("payment", COMMIT, "/petpro.payment.v1.PaymentService/ReceiveWebhook", "cancel"),
    *_points("payment", PUBLISH, "petpro.replies.checkout", "keep"),
    *_points("payment", PUBLISH, "petpro.replies.cancellation", "cancel"),
    *_points("payment", PUBLISH, "petpro.replies.no_show", "stay_away"),
    *_points("payment", PUBLISH, "petpro.events.refund.succeeded", "cancel"),
    *_points("payment", MARK, "relay", "keep"),
]
NOTIFICATION = [
    *_points("notification", (*COMMIT, *ACK), "petpro.events.booking.confirmed", "keep"),
    *_points("notification", (*COMMIT, *ACK), "petpro.events.booking.cancelled", "cancel"),
    *_points("notification", (*CALL, *COMMIT), "delivery", "keep"),
]
POINTS = (*BOOKING, *PAYMENT, *NOTIFICATION)
