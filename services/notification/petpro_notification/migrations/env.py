"""What alembic runs to bring the database forward."""

from petpro_common.migrate import run_env

run_env()
