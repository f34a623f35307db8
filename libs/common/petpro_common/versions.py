"""Which version of its tables a service's code needs, and whether the database has it.

Known from the names of the files alone, so that a running service needs nothing of what migrates it.
"""

import importlib
from functools import cache
from pathlib import Path

from sqlalchemy import text

from petpro_common.db import Session

_HAS_VERSIONS = text("SELECT to_regclass('alembic_version') IS NOT NULL")
_VERSION = text("SELECT version_num FROM alembic_version")


def migrations_of(package: str) -> Path:
    """The folder of a service's migrations."""
    return Path(str(importlib.import_module(package).__file__)).parent / "migrations"


@cache
def versions_of(package: str) -> tuple[str, ...]:
    """The versions that the code of `package` knows, the newest last: what stands before `_` in each file's name."""
    return tuple(sorted(file.name.partition("_")[0] for file in migrations_of(package).glob("versions/[0-9]*.py")))


async def is_migrated(session: Session, package: str) -> bool:
    """Whether the database has what the code needs: its newest version, or a later one that the code does not know.

    Migrations only add until the code that needs what they remove is gone, so old replicas serve on while new ones
    come up.
    """
    if not (await session.execute(_HAS_VERSIONS)).scalar_one():
        return False
    found = (await session.execute(_VERSION)).scalar()
    return found is not None and found not in versions_of(package)[:-1]
