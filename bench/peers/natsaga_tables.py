"""Makes the tables of natsaga and nats-outbox in the peer's database."""

import asyncio
import os

from nats_outbox.core import models as outbox
from natsaga.core import models as saga
from sqlalchemy.ext.asyncio import create_async_engine


async def main() -> None:
    """As both libraries make them."""
    engine = create_async_engine(os.environ["PEER_DATABASE_URL"].replace("postgresql://", "postgresql+asyncpg://"))
    await outbox.create_tables(engine)
    await saga.create_tables(engine)
    await engine.dispose()


if __name__ == "__main__":
    asyncio.run(main())
