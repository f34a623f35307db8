"""The five services as parts: their settings, their migrations, their health."""

import os
from dataclasses import dataclass

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from devstack.layout import ROOT, Layout
from devstack.nats import Nats
from devstack.part import Check, Part, connect, run_to_end
from devstack.ports import Ports
from devstack.postgres import Postgres, role_of
from devstack.process import python_module
from devstack.secrets import PEOPLE, Secrets
from devstack.stamp import Stamp

CALLS = {
    "account": (),
    "catalog": ("booking",),
    "booking": ("catalog",),
    "payment": ("catalog",),
    "notification": ("catalog",),
}
"""Which services each one asks over gRPC, besides account, from which all of them learn keys and people."""

_GRACE_SECONDS = 45.0
"""More than a service's `stop_seconds`, after which it has let go of whatever it waited for."""

TRACES = "PETPRO_TRACES"
"""The variable that names who takes the traces of the whole stack: HOST:PORT, as OTLP over gRPC."""


@dataclass(frozen=True)
class Surroundings:
    """What the services need to know of the rest of the stack."""

    layout: Layout
    secrets: Secrets
    ports: Ports
    postgres: Postgres
    nats: Nats

    def grpc_address(self, service: str) -> str:
        return self.ports.address(f"{service}.grpc")

    def metrics_address(self, service: str) -> str:
        return self.ports.address(f"{service}.metrics")


def part(around: Surroundings, service: str) -> Part:
    """One service as a part of the stack; its migrations run before it starts."""
    env = settings(around, service)

    async def migrate() -> None:
        await _migrate(around, service, env)

    return Part(
        name=service,
        argv=program(service),
        env=env,
        ready=serves_health(around.grpc_address(service), "readiness"),
        address=around.grpc_address(service),
        needs=("postgres", "nats"),
        prepare=migrate,
        preparation="migrates its database",
        grace_seconds=_GRACE_SECONDS,
    )


def program(service: str) -> list[str]:
    """The command that runs a service."""
    return python_module("devstack.as_in_image", service)


def settings(around: Surroundings, service: str) -> dict[str, str]:
    """The environment of a service, as the names of its settings class say."""
    common = {
        "GRPC_ADDRESS": around.grpc_address(service),
        "METRICS_ADDRESS": around.metrics_address(service),
        "DATABASE_URL": around.postgres.url(role_of(service), role_of(service)),
        "NATS_URL": around.nats.url,
        "SERVICE_JWKS_FILE": str(around.layout.service_jwks),
        "LOG_LEVEL": "info",
        "SECRETS_DIR": str(around.secrets.folder(service)),
    }
    others = {f"{other.upper()}_ADDRESS": around.grpc_address(other) for other in ("account", *CALLS[service])}
    named = common | others | _own_settings(around, service)
    if traces := os.environ.get(TRACES):
        named["OTLP_ENDPOINT"] = traces
    return {f"PETPRO_{service.upper()}_{name}": value for name, value in named.items()}


def _own_settings(around: Surroundings, service: str) -> dict[str, str]:
    match service:
        case "account":
            return {"BOOTSTRAP_ADMIN_EMAIL": PEOPLE["admin"]}
        case "payment":
            return {"SANDBOX_URL": f"http://{around.ports.address('sandbox')}"}
        case "notification":
            port = around.ports.of("mail")
            return {
                "SMTP_HOST": "127.0.0.1",
                "SMTP_PORT": str(port),
                "MAIL_FROM": "PetPro <hello@petpro.example>",
                "PASSWORD_RESET_PAGE": "https://app.petpro.example/new-password",
                "EMAIL_VERIFICATION_PAGE": "https://app.petpro.example/verify-email",
            }
        case _:
            return {}


async def _migrate(around: Surroundings, service: str, env: dict[str, str]) -> None:
    """Bring the service's database to its newest version; at once when it already is there."""
    stamp = migrated(around, service)
    if not stamp.is_valid():
        command = python_module("petpro_common.migrate", f"petpro_{service}")
        await run_to_end(service, command, env, around.layout.log(service))
        stamp.put()


def migrated(around: Surroundings, service: str) -> Stamp:
    """Valid while the service's database is at its newest version."""
    package = ROOT / "services" / service / f"petpro_{service}"
    common = ROOT / "libs" / "common" / "petpro_common"
    sources = [*package.glob("migrations/**/*"), *package.glob("tables*.py"), *common.glob("**/migrat*.py")]
    sources += [*common.glob("migrations/**/*"), *common.glob("**/schema.py")]
    return Stamp(around.layout.postgres / f"migrated-{service}", tuple(sources))


def serves_health(address: str, name: str) -> Check:
    """Ready when grpc.health.v1 answers SERVING for that name."""

    async def check() -> bool:
        await connect(address)  # for a fraction of what a channel costs, and most often in vain
        async with grpc.aio.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
            ask = channel.unary_unary(
                "/grpc.health.v1.Health/Check",
                request_serializer=HealthCheckRequest.SerializeToString,
                response_deserializer=HealthCheckResponse.FromString,
            )
            try:
                answer = await ask(HealthCheckRequest(service=name), timeout=5)
            except grpc.aio.AioRpcError:
                return False
            return bool(answer.status == HealthCheckResponse.SERVING)

    return check
