"""Every start pays for each package that is loaded, so they are named here: one more needs a reason.

Of those that all services load none can be spared: they speak gRPC, NATS and PostgreSQL, check tokens and field rules,
read settings, and tell logs, traces and metrics.
"""

import json
import subprocess
import sys

import pytest

from devstack.layout import SERVICES

pytestmark = pytest.mark.unit

LOAD = """
import importlib, json, sys
from devstack.as_in_image import Absent, absent
service = sys.argv[1]
sys.meta_path.insert(0, Absent(absent(service)))
importlib.import_module(f"petpro_{service}.__main__")
print(json.dumps({name: getattr(module, "__file__", None) or "" for name, module in sys.modules.items()}))
"""
ALL = {
    *("grpc", "grpc_health", "grpc_reflection", "grpc_status", "google"),
    *("protobuf", "protobuf_ext", "protovalidate"),
    *("nats", "orjson", "uuid_utils", "uvloop"),
    *("psycopg", "psycopg_binary", "sqlalchemy"),
    *("jwt", "cryptography", "_cffi_backend"),
    *("pydantic", "pydantic_core", "annotated_types", "typing_extensions", "typing_inspection"),
    *("structlog", "opentelemetry", "prometheus_client"),
}
OWN = {
    "account": {"argon2", "_argon2_cffi_bindings", "email_validator", "idna", "joserfc", "phonenumbers"},
    "catalog": {"tzdata"},
    "booking": {"tzdata"},
    "payment": {
        *("aiohttp", "aiohappyeyeballs", "aiosignal", "attr", "frozenlist", "idna", "multidict", "propcache", "yarl"),
    },
    "notification": {"aiosmtplib", "babel", "jinja2", "markupsafe", "tzdata"},
}
OF_THE_WORKSHOP = {"_distutils_hack", "grpc_tools"}
"""Loaded where they are installed, as here and in no image."""
PARTS_TO_DO_WITHOUT = {"sqlalchemy.orm", "sqlalchemy.ext", "opentelemetry.sdk", "aiohttp.web", "pydantic.v1"}


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_loads_these_packages_and_no_others(service: str) -> None:
    ran = subprocess.run([sys.executable, "-c", LOAD, service], capture_output=True, check=True, text=True)
    modules: dict[str, str] = json.loads(ran.stdout)
    packages = {name.partition(".")[0] for name, file in modules.items() if "site-packages" in file}
    assert packages - OF_THE_WORKSHOP == ALL | OWN[service]
    assert not PARTS_TO_DO_WITHOUT & modules.keys()
