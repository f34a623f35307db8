"""How often mails were asked for, counted by hashed address in fixed windows. Time is the database's."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import TextClause, text

from petpro_common.db import Transaction


def _counting(table: str) -> TextClause:
    """Counts one more; a window that is over begins anew."""
    return text(f"""
        INSERT INTO {table} AS counted (address_hash, requests, window_started_at)
        VALUES (:address_hash, 1, now())
        ON CONFLICT (address_hash) DO UPDATE SET
            requests = CASE WHEN counted.window_started_at + :window > now() THEN counted.requests + 1 ELSE 1 END,
            window_started_at =
                CASE WHEN counted.window_started_at + :window > now() THEN counted.window_started_at ELSE now() END
        RETURNING requests, window_started_at + :window - now() AS remaining
    """)  # the names are constants of the code


RESETS = _counting("password_reset_requests")
VERIFICATIONS = _counting("email_verification_requests")


@dataclass(frozen=True)
class Requests:
    """How many there were in the present window, and when it ends."""

    count: int
    remaining: timedelta


async def count(tx: Transaction, kind: TextClause, address_hash: bytes, window: timedelta) -> Requests:
    """How often mails of a kind to this address were asked for, this time included. Counts exactly, however many at
    once."""
    row = (await tx.execute(kind, {"address_hash": address_hash, "window": window})).one()
    return Requests(row.requests, row.remaining)
