"""Alembic's entry: the versions run on the connection that holds the lock."""

from petpro_common.migrate import run_env

run_env()
