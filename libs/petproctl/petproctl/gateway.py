"""The platform as an administrator reaches it: HTTP through the gateway, signed in with e-mail address and password.

They come from the dev stack's `stack.json`, or from `--gateway`, `--email` and the variable PETPROCTL_PASSWORD, so that
no password stands in a list of processes.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from petproctl import places

Json = dict[str, Any]

PASSWORD = "PETPROCTL_PASSWORD"  # noqa: S105  # the variable's name
SECONDS = 20.0
"""How long one call may take."""
_PAGE = 100


class Unreachable(Exception):
    """No gateway answered, or it knows nobody by that e-mail address and password."""


class Refused(Exception):
    """The platform said no. `reason` is that of the contract, for example SAGA_VERSION_CONFLICT."""

    def __init__(self, answer: httpx.Response) -> None:
        body = _body(answer)
        self.reason = next((str(detail["reason"]) for detail in body.get("details", []) if "reason" in detail), "")
        super().__init__(str(body.get("message") or f"HTTP {answer.status_code}"))


@dataclass(frozen=True)
class SignIn:
    """Where the gateway is, and who signs in."""

    url: str
    email: str
    password: str


def sign_in_of(run: Path, url: str, email: str) -> SignIn:
    """What the options and the environment name, and for the rest what is known of the platform. Raises Unreachable."""
    try:
        known = places.platform(run)
    except places.Nowhere as fault:
        raise Unreachable(str(fault)) from fault
    password = os.environ.get(PASSWORD, "")
    if url or email or password:
        found = SignIn(url or known.get("gateway_url", ""), email, password)
        if not (found.url and found.email and found.password):
            raise Unreachable(f"--gateway, --email and {PASSWORD} belong together")
        return found
    if "admin" not in known.get("users", {}):
        raise Unreachable(f"No dev stack in {run}; name a platform by --gateway, --email and {PASSWORD}")
    admin = known["users"]["admin"]
    return SignIn(known["gateway_url"], admin["email"], admin["password"])


class Gateway:
    """An administrator's session; use it as a context, it signs in on entering, and again when its token has ended."""

    def __init__(self, who: SignIn) -> None:
        self._who = who
        self._client = httpx.Client(base_url=who.url, timeout=SECONDS)

    def __enter__(self) -> "Gateway":
        try:
            self._sign_in()
        except Unreachable:
            self._client.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, path: str, **query: object) -> Json:
        """What is empty is left out of the query. Raises Refused and Unreachable."""
        return self._call("GET", path, params={name: str(value) for name, value in query.items() if value})

    def pages(self, path: str, name: str, limit: int, **filters: object) -> list[Json]:
        """The first `limit` things of a list, which its pages hold under `name`. Raises Refused and Unreachable."""
        found: list[Json] = []
        token = ""
        while len(found) < limit:
            page = self.get(path, **filters, page_size=min(_PAGE, limit - len(found)), page_token=token)
            found += page.get(name, [])
            token = page.get("next_page_token", "")
            if not token:
                break
        return found

    def post(self, path: str, body: Json) -> Json:
        """Under a fresh Idempotency-Key. Raises Refused and Unreachable."""
        return self._call("POST", path, json=body, headers={"Idempotency-Key": uuid4().hex})

    def _call(self, method: str, path: str, **options: Any) -> Json:
        answer = self._ask(method, path, **options)
        if answer.status_code == httpx.codes.UNAUTHORIZED:  # before anything was done: it may be asked again
            self._sign_in()
            answer = self._ask(method, path, **options)
        return _taken(answer)

    def _sign_in(self) -> None:
        self._client.headers.pop("Authorization", None)  # a token that has ended is refused here too
        body = {"email": self._who.email, "password": self._who.password}
        try:
            tokens = _taken(self._ask("POST", "/v1/auth/token", json=body))["tokens"]
        except Refused as refusal:
            raise Unreachable(f"{self._who.email} cannot sign in at {self._who.url}: {refusal}") from refusal
        self._client.headers["Authorization"] = f"Bearer {tokens['access_token']}"

    def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            return self._client.request(method, path, **options)
        except httpx.HTTPError as error:
            raise Unreachable(f"{self._who.url} does not answer: {error}") from error


def _taken(answer: httpx.Response) -> Json:
    if not answer.is_success:
        raise Refused(answer)
    return _body(answer)


def _body(answer: httpx.Response) -> Json:
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
