"""What the provider itself says it did."""

from typing import Any

import httpx

from devstack.running import RunningStack
from devstack.testing import surroundings_of


def provider_list(stack: RunningStack, path: str) -> list[dict[str, Any]]:
    """The first hundred of the provider's payments or refunds."""
    around = surroundings_of(stack)
    key = around.secrets.sandbox_api_key().read_text()
    url = f"http://{around.ports.address('sandbox')}{path}"
    answer = httpx.get(url, headers={"Authorization": f"Bearer {key}"}, trust_env=False)
    found: list[dict[str, Any]] = answer.raise_for_status().json()["data"]
    return found
