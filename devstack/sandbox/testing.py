"""The sandbox as tests use it: a real process, a client for its API, and an address that its webhooks reach."""

import hmac
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from uuid import uuid4

import httpx

from devstack.ports import free_port
from devstack.sandbox.errors import Json

SUCCESS = "tok_success"
API_KEY = "a-key-for-tests"
WEBHOOK_SECRET = "a-webhook-secret-for-tests"  # noqa: S105 - it protects nothing
_ROOT = Path(__file__).parents[2]
Seen = TypeVar("Seen")


def eventually(look: Callable[[], Seen], seconds: float = 60.0) -> Seen:
    """What `look` sees as soon as it is something; fails after the given time."""
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.01)
    return seen


@dataclass(frozen=True)
class Letter:
    """One webhook as it arrived; names of headers are in lower case."""

    headers: Mapping[str, str]
    body: bytes
    arrived: float
    """Monotonic seconds."""

    @property
    def signature(self) -> str:
        return self.headers.get("sandbox-signature", "")

    @property
    def event(self) -> Json:
        event: Json = json.loads(self.body)
        return event

    def is_signed_with(self, secret: str) -> bool:
        """Check the signature the way the documentation describes it."""
        parts = dict(part.split("=", 1) for part in self.signature.split(","))
        signed = parts["t"].encode() + b"." + self.body
        return hmac.compare_digest(parts["v1"], hmac.new(secret.encode(), signed, sha256).hexdigest())


class _Counter(ThreadingHTTPServer):
    """Takes many letters at once; the standard queue of five would hold some up for a second."""

    daemon_threads = True
    request_queue_size = 128


@dataclass
class Letterbox:
    """The other end of the webhooks: keeps every letter, and answers with `status`."""

    letters: list[Letter] = field(default_factory=list)
    status: int = 200
    _server: ThreadingHTTPServer = field(init=False)

    def __enter__(self) -> Self:
        letterbox = self

        class Slot(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                letterbox.letters.append(Letter(headers, body, time.monotonic()))
                self.send_response(letterbox.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is given
                """The letters are record enough."""

        self._server = _Counter(("127.0.0.1", 0), Slot)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/webhooks"

    def about(self, object_id: str) -> list[Letter]:
        """Letters about one intent or refund, in the order of arrival."""
        return [letter for letter in list(self.letters) if letter.event["data"]["object"]["id"] == object_id]

    def kinds(self, object_id: str) -> list[str]:
        return [letter.event["type"] for letter in self.about(object_id)]

    def wait_for(self, object_id: str, *kinds: str) -> list[Letter]:
        """The letters about an object, once there is one of each kind."""
        return eventually(lambda: self.about(object_id) if {*kinds} <= {*self.kinds(object_id)} else [])


class SandboxProcess:
    """`python -m devstack.sandbox` on a folder of its own, which it keeps over `kill` and `start`."""

    def __init__(self, folder: Path, webhook_url: str, **timings: float) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "api_key").write_text(API_KEY)
        (folder / "webhook_secret").write_text(WEBHOOK_SECRET)
        self.address = f"127.0.0.1:{free_port()}"
        self._folder = folder
        self._environment = {
            "PETPRO_SANDBOX_ADDRESS": self.address,
            "PETPRO_SANDBOX_STATE": str(folder / "state"),
            "PETPRO_SANDBOX_API_KEY_FILE": str(folder / "api_key"),
            "PETPRO_SANDBOX_WEBHOOK_SECRET_FILE": str(folder / "webhook_secret"),
            "PETPRO_SANDBOX_WEBHOOK_URL": webhook_url,
            **{f"PETPRO_SANDBOX_{name.upper()}_SECONDS": str(value) for name, value in timings.items()},
        }
        self._client = httpx.Client(
            base_url=f"http://{self.address}",
            headers={"Authorization": f"Bearer {API_KEY}"},
            limits=httpx.Limits(max_keepalive_connections=0),
            timeout=20,
            trust_env=False,
        )
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        if self._child is not None:
            self._child.terminate()
            self._child.wait(10)
        self._client.close()

    def start(self) -> None:
        """Start it and wait until it serves."""
        with (self._folder / "log").open("ab") as log:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "devstack.sandbox"],
                env={**os.environ, **self._environment},
                cwd=_ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        eventually(self._serves)

    def kill(self) -> None:
        """SIGKILL."""
        assert self._child is not None
        self._child.kill()
        self._child.wait(10)
        self._child = None

    def _serves(self) -> bool:
        assert self._child is not None
        assert self._child.poll() is None, (self._folder / "log").read_text()
        try:
            return self._client.get("/healthz").is_success
        except httpx.TransportError:
            return False

    def post(self, path: str, body: Json | None = None, *, key: str | None = None) -> httpx.Response:
        headers = {} if key is None else {"Idempotency-Key": key}
        return self._client.post(path, json=body, headers=headers)

    def get(self, path: str, **query: str | int) -> Json:
        answer = self._client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()
        return found

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Any request, for the wrong ones."""
        return self._client.request(method, path, **options)

    def pay(self, token: str = SUCCESS, *, key: str | None = None, **fields: Any) -> httpx.Response:
        """A payment of 250000.00 IDR by card, unless told otherwise."""
        return self.post("/v1/payment_intents", payment(token, **fields), key=key or uuid4().hex)

    def paid(self, token: str = SUCCESS, **fields: Any) -> Json:
        """A payment that was accepted."""
        answer = self.pay(token, **fields)
        assert answer.status_code == 201, answer.text
        accepted: Json = answer.json()
        return accepted

    def refund(self, payment_intent: str, amount: str, *, key: str | None = None, **fields: Any) -> httpx.Response:
        """A refund with a reference of its own."""
        body = {"payment_intent": payment_intent, "amount": amount, "reference": uuid4().hex, **fields}
        return self.post("/v1/refunds", body, key=key or uuid4().hex)


def payment(token: str = SUCCESS, **fields: Any) -> Json:
    """The body of a payment."""
    return {
        "amount": "250000.00",
        "currency": "IDR",
        "reference": uuid4().hex,
        "payment_method": "card",
        "payment_token": token,
        **fields,
    }
