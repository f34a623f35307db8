"""The payment sandbox as a part of the stack."""

from devstack import gateway
from devstack.part import Part, answers_http
from devstack.process import python_module
from devstack.services import Surroundings


def part(around: Surroundings) -> Part:
    """The provider whose webhooks come back through the gateway, as a real one's would."""
    address = around.ports.address("sandbox")
    return Part(
        name="sandbox",
        argv=python_module("devstack.sandbox"),
        env={
            "PETPRO_SANDBOX_ADDRESS": address,
            "PETPRO_SANDBOX_STATE": str(around.layout.sandbox),
            "PETPRO_SANDBOX_API_KEY_FILE": str(around.secrets.sandbox_api_key()),
            "PETPRO_SANDBOX_WEBHOOK_SECRET_FILE": str(around.secrets.sandbox_webhook_secret()),
            "PETPRO_SANDBOX_WEBHOOK_URL": f"{gateway.url(around)}/v1/webhooks/sandbox",
        },
        ready=answers_http(f"http://{address}/healthz"),
        address=f"http://{address}",
        stop_rank=2,
    )
