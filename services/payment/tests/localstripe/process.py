"""localstripe as tests use it: a process of its own, and cards as its customers would have them."""

import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from devstack.layout import ROOT
from devstack.ports import free_port
from devstack.venvs import ensure

SECRET_KEY = "sk_test_of_nobody"
WEBHOOK_SECRET = "whsec_of_nobody"
GOOD, DECLINED, ASKS_FOR_MORE = "4242424242424242", "4000000000000341", "4000002500003155"


class LocalStripe:
    """localstripe, empty, until the block ends; its webhooks go to `webhook_url`."""

    def __init__(self, webhook_url: str) -> None:
        self._webhook_url = webhook_url
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        here = Path(__file__).parent
        python = ensure(here / "requirements.lock", ROOT / ".run" / "localstripe", only_binary=False)
        self._command = [str(python), str(here / "serve.py"), str(port)]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command)
        deadline = time.monotonic() + 60
        while not self._is_up():
            assert self._process.poll() is None, "localstripe ended"
            assert time.monotonic() < deadline, "localstripe did not come up"
            time.sleep(0.05)
        hook = {"url": self._webhook_url, "secret": WEBHOOK_SECRET}
        httpx.post(f"{self.url}/_config/webhooks/ours", json=hook, trust_env=False).raise_for_status()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(10)

    def card(self, number: str) -> str:
        """A payment method, as Stripe's page in the customer's browser would make one."""
        card = {"number": number, "exp_month": 12, "exp_year": 2040, "cvc": "123"}
        return self._made("payment_methods", {"type": "card", "card": card})

    def sell(self, units: int, currency: str) -> None:
        """Something of the account's owner that is none of ours is sold, and taken back in part."""
        means = {"payment_method": self.card(GOOD), "confirm": True}
        paid = self._made("payment_intents", {"amount": units, "currency": currency, **means})
        self._made("refunds", {"payment_intent": paid, "amount": units // 2})

    def _made(self, what: str, asked: dict[str, Any]) -> str:
        headers = {"Authorization": f"Bearer {SECRET_KEY}"}
        made = httpx.post(f"{self.url}/v1/{what}", json=asked, headers=headers, trust_env=False)
        return str(made.raise_for_status().json()["id"])

    def _is_up(self) -> bool:
        try:
            return httpx.get(f"{self.url}/js.stripe.com/v3/", trust_env=False).is_success
        except httpx.TransportError:
            return False
