"""What the catalog is told at start."""

from typing import ClassVar

from petpro_common.settings import ServiceSettings


class Settings(ServiceSettings):
    """Read from `PETPRO_CATALOG_*`; `booking_address` is asked for bookings whose completion was not yet heard of."""

    service: ClassVar[str] = "catalog"

    booking_address: str
    plans_by_key: bool = False  # a search is planned by what it is for
