"""What the booking service is told, beyond what every service is."""

from typing import ClassVar

from petpro_common.settings import ServiceSettings


class Settings(ServiceSettings):
    """Environment `PETPRO_BOOKING_*`; all times in seconds.

    `hold_seconds`: how long a seat is held, and how long a customer has to pay once the clinic has approved.
    `approval_seconds`: how long a clinic has to approve, at most until the slot begins.
    `expiry_check_seconds`: the longest sleep of the expiry sweep; it wakes when the next hold runs out.
    `summary_refresh_seconds`: how old `clinic_booking_summary` may get.
    """

    service: ClassVar[str] = "booking"

    catalog_address: str
    hold_seconds: float = 600.0
    approval_seconds: float = 86_400.0
    expiry_check_seconds: float = 5.0
    partition_check_seconds: float = 3_600.0
    summary_refresh_seconds: float = 3_600.0
