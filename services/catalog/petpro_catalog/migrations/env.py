"""What alembic runs; the connection comes from `petpro_common.migrate`."""

from petpro_common.migrate import run_env

run_env()
