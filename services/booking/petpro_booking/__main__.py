"""The composition root of the booking service."""

from petpro_booking.settings import Settings
from petpro_common.service import Service, run


async def main() -> None:
    """Serves until SIGTERM or SIGINT."""
    settings = Settings.load()
    async with Service("petpro_booking", settings) as service:
        await service.serve()


if __name__ == "__main__":
    run(main())
