"""What a schema holds, as PostgreSQL itself writes it: tables with columns, constraints, indexes and triggers, views,
functions. Spelled by the server, so that two ways to write one thing are one."""

from collections.abc import Mapping
from pathlib import Path

import psycopg

Inventory = Mapping[str, str]
"""By name: `bookings`, `bookings.amount`, `bookings.PRIMARY KEY`, `ensure_slot_partition(day date)`."""

_DOCUMENT = (Path(__file__).parent / "document.sql").read_bytes()

# A table's constraints of its own: not those that partitions and keys to partitions bring with them. NOT NULL is told
# with the column, the function of a trigger with the trigger.
_EVERYTHING = """
    WITH relations AS MATERIALIZED (
        SELECT c.oid, relname, relkind FROM pg_class c WHERE relnamespace = current_schema::regnamespace
        AND relkind IN ('r', 'p', 'v', 'm') AND NOT relispartition
        AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e')
    )
    SELECT relname::text AS name, CASE relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'table by ' || pg_get_partkeydef(oid)
        ELSE 'view AS ' || pg_get_viewdef(oid) END AS definition FROM relations
    UNION ALL
    SELECT relname || '.' || attname, concat_ws(' ', format_type(atttypid, atttypmod),
        CASE WHEN attnotnull THEN 'NOT NULL' END, 'DEFAULT ' || pg_get_expr(adbin, adrelid))
    FROM relations JOIN pg_attribute ON attrelid = oid LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE relkind IN ('r', 'p') AND attnum > 0 AND NOT attisdropped
    UNION ALL
    SELECT relname || '.' || CASE contype WHEN 'p' THEN 'PRIMARY KEY' ELSE conname END, pg_get_constraintdef(c.oid)
    FROM relations r JOIN pg_constraint c ON conrelid = r.oid WHERE contype NOT IN ('n', 't') AND conparentid = 0
    UNION ALL
    SELECT relname || '.' || indexrelid::regclass, substring(pg_get_indexdef(indexrelid) FROM '^CREATE (.*?INDEX )')
        || substring(pg_get_indexdef(indexrelid) FROM 'USING .*$')
    FROM relations r JOIN pg_index ON indrelid = r.oid
    WHERE NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND contype IN ('p', 'u', 'x'))
    UNION ALL
    SELECT relname || '.' || tgname, substring(pg_get_triggerdef(t.oid) FROM '^CREATE (.*)$')
    FROM relations r JOIN pg_trigger t ON tgrelid = r.oid WHERE NOT tgisinternal
    UNION ALL
    SELECT proname || '(' || pg_get_function_identity_arguments(oid) || ')',
        'function -> ' || pg_get_function_result(oid) || ' AS ' || prosrc
    FROM pg_proc p WHERE pronamespace = current_schema::regnamespace AND prorettype <> 'trigger'::regtype
    AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = p.oid AND deptype = 'e')
"""


async def of_the_document(connection: psycopg.AsyncConnection) -> Inventory:
    """What the document's own statements make, in a schema of their own that goes with the transaction."""
    async with connection.transaction(force_rollback=True):
        await connection.execute("CREATE SCHEMA document")
        await connection.execute("SET LOCAL search_path = document")
        await connection.execute(_DOCUMENT)
        return await inventory(connection)


async def inventory(connection: psycopg.AsyncConnection) -> Inventory:
    """What the first schema of the search path holds; nothing of extensions, and each partition within its table."""
    found = await (await connection.execute(_EVERYTHING)).fetchall()
    return {name: " ".join(definition.rstrip(";\n").split()) for name, definition in found}
