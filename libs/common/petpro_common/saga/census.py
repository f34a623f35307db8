"""How many sagas stand where, and for how long the first of them has: for alarms and dashboards."""

from prometheus_client import Gauge

from petpro_common.db import Database
from petpro_common.saga import store
from petpro_common.saturation import keep_looking

SAGAS = Gauge("petpro_sagas", "Sagas that have not ended", ["saga_type", "status", "step"])
OLDEST_SECONDS = Gauge(
    "petpro_sagas_oldest_seconds",
    "How long the one of petpro_sagas that came there first has stood, however often it has asked again",
    ["saga_type", "status", "step"],
)


class Census:
    """Of one service's sagas; each replica counts all of them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: set[tuple[str, str, str]] = set()

    async def run(self) -> None:
        """Counts now and then, until cancelled."""
        await keep_looking("saga census", self.look)

    async def look(self) -> None:
        """Counts; where there are none any more the count is 0."""
        async with self._database.reading() as tx:
            rows = await store.standing(tx)
        found = {(row.saga_type, row.status, row.step): row for row in rows}
        self._known |= found.keys()
        for place in self._known:
            row = found.get(place)
            SAGAS.labels(*place).set(row.sagas if row else 0)
            OLDEST_SECONDS.labels(*place).set(row.oldest_seconds if row else 0)
