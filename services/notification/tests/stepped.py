"""Deliveries that a test brings on by hand, one batch at a time."""

from petpro_notification import deliveries


class SteppedDeliveries(deliveries.Deliveries):
    """What is due, and nothing that is handed over, whatever the time of the next look."""

    async def deliver_due(self) -> int:
        """Tries one batch of due deliveries, side by side; how many there were."""
        return await self._deliver_all(await self._claim(deliveries._BATCH))
