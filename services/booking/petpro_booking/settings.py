"""What the booking service is told, beyond what every service is."""

from typing import ClassVar

from petpro_common.settings import ServiceSettings


class Settings(ServiceSettings):
    """Environment `PETPRO_BOOKING_*`; all times in seconds."""

    service: ClassVar[str] = "booking"

    catalog_address: str
    payment_address: str | None = None
    hold_seconds: float = 600.0
    expiry_check_seconds: float = 5.0
    """The longest sleep of the expiry sweep; it wakes earlier when a hold of its own database ends earlier."""
    partition_check_seconds: float = 3600.0
    summary_refresh_seconds: float = 3600.0
    """How old `clinic_booking_summary` may get."""
