"""Calls to a provider over real connections: what is kept, what is trusted, and what is no answer."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog

from petpro_common.ids import new_id
from petpro_common.testing.certificates import Authority
from petpro_payment.outcomes import Unknown
from petpro_payment.providers import http
from petpro_payment.providers.provider import Asked
from petpro_payment.providers.stripe import open_stripe

pytestmark = pytest.mark.unit

MOVED = b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"
BREAKS_OFF = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"
YES = b'HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{"amount": 0.1}'


class Played:
    """Answers each request with the same bytes; hangs up after them when they break off."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.connections = 0
        self.heads: list[bytes] = []
        self.serving: list[asyncio.Task[None] | None] = []

    async def __call__(self, asked: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.serving.append(asyncio.current_task())
        with contextlib.suppress(asyncio.IncompleteReadError):  # the client has hung up
            while self.answer:
                self.heads.append(await asked.readuntil(b"\r\n\r\n"))
                answers.write(self.answer)
                if self.answer != YES:
                    break
            else:
                await asked.read()
        answers.close()
        with contextlib.suppress(OSError):
            await answers.wait_closed()


@asynccontextmanager
async def client_of(
    played: Played, seconds: float = 3.0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[http.Client]:
    server = await asyncio.start_server(played, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    async with server:
        async with http.open_client(url, seconds, "Bearer of nobody") as client:
            yield client
        await asyncio.gather(*filter(None, played.serving))


async def test_one_connection_serves_call_after_call_and_no_number_becomes_a_float() -> None:
    played = Played(YES)
    async with client_of(played) as client:
        for _ in range(3):
            answer = await http.call(client, "GET", "/v1/refunds", params={"from": "2026-01-01T00:00:00+00:00"})
            assert isinstance(answer, http.Answer)
            assert str(answer.json()["amount"]) == "0.1"
    assert played.connections == 1
    assert played.heads[0].startswith(b"GET /v1/refunds?from=2026-01-01T00:00:00%2B00:00 HTTP/1.1\r\n")
    assert b"Authorization: Bearer of nobody\r\n" in played.heads[0]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        BREAKS_OFF,
        b"HTTP/1.1 503 Away\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n",
        b"no HTTP\r\n\r\n",
    ],
    ids=["silence", "breaks off", "away", "took too long", "too often", "something else"],
)
async def test_what_is_no_answer_tells_nothing_of_the_money(answer: bytes) -> None:
    async with client_of(Played(answer), seconds=2.0) as client:
        assert isinstance(await http.call(client, "POST", "/v1/refunds", body={"amount": "1"}), Unknown)


async def test_a_redirect_is_not_followed() -> None:
    moved = Played(MOVED)
    async with client_of(moved) as client:
        answer = await http.call(client, "GET", "/v1/refunds")
    assert isinstance(answer, http.Answer)
    assert (answer.status, len(moved.heads)) == (302, 1)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # asyncio's server drops what it refused
async def test_who_shows_a_certificate_of_nobody_is_told_nothing(tmp_path: Path) -> None:
    folder = Authority().issue(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    played = Played(YES)
    async with client_of(played, tls=tls) as client:
        answer = await http.call(client, "GET", "/v1/refunds")
    assert answer == Unknown("ClientConnectorCertificateError")
    assert played.heads == []


@pytest.mark.parametrize("answer", [MOVED, BREAKS_OFF], ids=["moved", "breaks off"])
async def test_stripe_is_followed_nowhere_and_half_an_answer_is_none(answer: bytes) -> None:
    played = Played(answer)
    asked = Asked(new_id(), "pi_1", datetime.now(UTC), datetime.now(UTC))
    async with client_of(played) as client, open_stripe(client.url, "sk_of_nobody", "whsec", 3.0) as provider:
        assert isinstance(await provider.find_payment(asked), Unknown)
    assert len(played.heads) == 1


async def test_a_call_is_logged_without_its_query_and_key() -> None:
    with structlog.testing.capture_logs() as lines:
        async with client_of(Played(b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n")) as client:
            await http.call(client, "GET", "/v1/refunds", params={"reference": "of nobody"})
    (line,) = lines
    assert (line["status"], line["path"]) == (500, "/v1/refunds")
    assert "of nobody" not in str(line)
