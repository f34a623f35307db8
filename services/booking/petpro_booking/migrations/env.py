"""Runs the versions of booking's database."""

from petpro_common.migrate import run_env

run_env()
