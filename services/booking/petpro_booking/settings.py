"""What the booking service is told, beyond what every service is."""

from typing import ClassVar

from pydantic import Field

from petpro_common.settings import ServiceSettings


class Settings(ServiceSettings):
    """Environment `PETPRO_BOOKING_*`; all times in seconds.

    `hold_seconds`: how long a seat is held, and how long a customer has to pay once the clinic has approved.
    `hold_most_per_person`: how many seats one person may hold at once, those that wait for a clinic's word included.
    `unpaid_most_per_person`: how many bookings to come that nobody has paid for one person may have.
    `approval_seconds`: how long a clinic has to approve, at most until the slot begins; no longer than the saga waits.
    `expiry_check_seconds`: the longest sleep of the expiry sweep; it wakes when the next hold runs out.
    `reminder_seconds`: how long before its start a customer is reminded of a booking; 0: nobody is.
    `reminder_check_seconds`: how often it is looked for whom to remind, which is how late a reminder may be.
    `summary_refresh_seconds`: how old `clinic_booking_summary` may get.
    """

    service: ClassVar[str] = "booking"

    catalog_address: str
    hold_seconds: float = Field(default=600.0, gt=0, le=604_800)
    hold_most_per_person: int = Field(default=10, ge=1)
    unpaid_most_per_person: int = Field(default=10, ge=1)
    approval_seconds: float = Field(default=86_400.0, gt=0, le=86_400)
    expiry_check_seconds: float = 5.0
    partition_check_seconds: float = 3_600.0
    summary_refresh_seconds: float = 3_600.0
    reminder_seconds: float = Field(default=86_400.0, ge=0)
    reminder_check_seconds: float = Field(default=60.0, gt=0)
