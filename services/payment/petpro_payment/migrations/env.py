"""Alembic runs this to bring the database to the newest version."""

from petpro_common.migrate import run_env

run_env()
