"""`petproctl status`: every part and its replicas, versions, what waits, and where sagas stand, at one look.

What services say is read from their metrics, so that it needs no sign-in. Databases, NATS and mail servers are only
spoken to: a connection alone is taken by the kernel of a server that is stopped, which answers nothing.
"""

import socket
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import typer
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.table import Table

from petproctl import places, saga_drawing
from petproctl.reading import RunFolder
from petproctl.terminal import UNREACHABLE, AsJson, say

NOT_READY = 1
_SECONDS = 3.0
_AT_ONCE = 16
_DEFAULT_PORTS = {"postgresql": 5432, "nats": 4222, "http": 80, "https": 443}
# Mail servers speak first. PostgreSQL answers the wish for TLS (length, code 80877103) by yes or no.
_FIRST_WORDS = {
    "postgresql": struct.pack(">II", 8, 80877103),
    "nats": b"PING\r\n",
    "http": b"GET / HTTP/1.0\r\n\r\n",
}


@dataclass(frozen=True)
class Seen:
    """One part, or one replica of a service, and what it says of itself. `lag` is in messages, ages are seconds."""

    part: str
    address: str
    is_ready: bool
    version: str = ""
    schema: str = ""
    calls_in_hand: int = 0
    outbox: int = 0
    outbox_oldest_seconds: float = 0.0
    lag: int = 0
    parked_messages: int = 0
    says: str = ""


@dataclass(frozen=True)
class Standing:
    """Sagas that have not ended, at one place."""

    saga_type: str
    status: str
    step: str
    sagas: int
    oldest_seconds: float


_NOWHERE = """\
No dev stack in {run}. A cluster is asked by a Job of its own:
    look=look-$(date +%s)
    kubectl -n petpro create job --from=cronjob/petpro-status $look
    kubectl -n petpro logs -f job/$look
Any other platform is named by {config}."""

Samples = dict[str, list[tuple[dict[str, str], float]]]


def command(as_json: AsJson = False, run: RunFolder = Path(".run")) -> None:
    """Show all parts, their versions, what lags, and sagas.

    Exit codes: 0 all are ready; 1 not all are; 2 wrong usage; 3 nothing is known.
    """
    try:
        known = places.platform(run)
    except places.Nowhere as reason:
        raise _unknown(str(reason)) from reason
    if not known.get("services"):
        raise _unknown(_NOWHERE.format(run=run, config=places.CONFIG))
    seen, sagas = look(known)
    answer = {
        "ready": all(each.is_ready for each in seen),
        "parts": [asdict(each) for each in seen],
        "sagas": [asdict(each) for each in sagas],
    }
    say(as_json, answer, lambda console: _draw(console, seen, sagas))
    if not answer["ready"]:
        raise typer.Exit(NOT_READY)


def look(known: places.Json) -> tuple[list[Seen], list[Standing]]:
    """Asks every part, all at once."""
    with ThreadPoolExecutor(_AT_ONCE) as pool, httpx.Client(timeout=_SECONDS, trust_env=False) as client:
        servers = pool.map(lambda place: _knock(*place), _servers(known))
        edge = pool.map(lambda url: _gateway(client, url), filter(None, [known.get("gateway_url")]))
        replicas = pool.map(lambda place: _service(client, *place), _replicas(known))
        answers = list(replicas)
        seen = [*servers, *(each for each, _ in answers), *edge]
    sagas = {(each.saga_type, each.status, each.step): each for _, samples in answers for each in _sagas(samples)}
    return seen, sorted(sagas.values(), key=lambda each: (each.status != "parked", each.saga_type, each.step))


def _unknown(reason: str) -> typer.Exit:
    Console(stderr=True).print(reason, markup=False, highlight=False)
    return typer.Exit(UNREACHABLE)


def _servers(known: places.Json) -> Iterator[tuple[str, str]]:
    databases = {
        urlsplit(said["dsn"]).netloc.rpartition("@")[2]: said["dsn"]
        for said in known["services"].values()
        if "dsn" in said
    }
    yield from (("database", dsn) for dsn in databases.values())
    if url := known.get("nats_url"):
        yield "nats", url
    if url := known.get("sandbox", {}).get("url"):
        yield "payment sandbox", url
    if address := known.get("mail", {}).get("address"):
        yield "mail", f"smtp://{address}"


def _replicas(known: places.Json) -> list[tuple[str, str, str]]:
    """Each service with the address of each of its replicas: a headless Service names all of them."""
    return [
        (name, address, said["metrics"])
        for name, said in known["services"].items()
        for address in _addresses(said["metrics"])
    ]


def _addresses(url: str) -> list[str]:
    parts = urlsplit(url)
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or 80, type=socket.SOCK_STREAM)
    except OSError:
        return [parts.netloc]
    hosts = {str(address[0]) for *_, address in found}
    return sorted(f"[{host}]:{parts.port}" if ":" in host else f"{host}:{parts.port}" for host in hosts)


def _knock(part: str, url: str) -> Seen:
    place = urlsplit(url)
    address = (place.hostname or "localhost", place.port or _DEFAULT_PORTS.get(place.scheme, 80))
    seen = partial(Seen, part, f"{address[0]}:{address[1]}")
    try:
        with socket.create_connection(address, _SECONDS) as connection, suppress(ConnectionResetError):
            connection.sendall(_FIRST_WORDS.get(place.scheme, b""))
            connection.recv(1)  # or an end, as of one that speaks TLS alone
    except OSError as fault:
        return seen(is_ready=False, says="does not answer" if isinstance(fault, TimeoutError) else str(fault))
    return seen(is_ready=True)


def _gateway(client: httpx.Client, url: str) -> Seen:
    try:
        answer = client.get(f"{url}/healthz")
    except httpx.HTTPError as fault:
        return Seen("gateway", url, is_ready=False, says=str(fault))
    return Seen("gateway", url, answer.is_success, says="" if answer.is_success else f"HTTP {answer.status_code}")


def _service(client: httpx.Client, part: str, address: str, url: str) -> tuple[Seen, Samples]:
    try:
        answer = client.get(urlsplit(url)._replace(netloc=address).geturl()).raise_for_status()
    except httpx.HTTPError as fault:
        return Seen(part, address, is_ready=False, says=str(fault)), {}
    samples = _samples(answer.text)
    build = next((labels for labels, _ in samples.get("petpro_build_info", [])), {})
    return Seen(
        part,
        address,
        is_ready=_most(samples, "petpro_ready") == 1,
        version=build.get("version", ""),
        schema=build.get("schema", ""),
        calls_in_hand=int(_most(samples, "petpro_calls_in_hand")),
        outbox=int(_most(samples, "petpro_outbox_unpublished")),
        outbox_oldest_seconds=round(_most(samples, "petpro_outbox_oldest_seconds"), 1),
        lag=int(sum(value for _, value in samples.get("petpro_consumer_pending_messages", []))),
        parked_messages=int(_most(samples, "petpro_parked_messages")),
    ), samples


def _samples(text: str) -> Samples:
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((dict(sample.labels), sample.value))
    return found


def _most(samples: Samples, name: str) -> float:
    return max((value for _, value in samples.get(name, [])), default=0.0)


def _sagas(samples: Samples) -> Iterator[Standing]:
    ages = {tuple(sorted(labels.items())): age for labels, age in samples.get("petpro_sagas_oldest_seconds", [])}
    for labels, sagas in samples.get("petpro_sagas", []):
        if sagas:
            age = ages.get(tuple(sorted(labels.items())), 0.0)
            yield Standing(labels["saga_type"], labels["status"], labels["step"], int(sagas), round(age, 1))


def _length(seconds: float) -> str:
    return saga_drawing.duration(timedelta(seconds=seconds))


def _draw(console: Console, seen: list[Seen], sagas: list[Standing]) -> None:
    parts = Table("part", "address", "ready", "version", "schema", "calls", "outbox", "oldest", "lag", "parked", "says")
    for each in seen:
        numbers: list[Any] = [""] * 5
        if each.version or each.schema:
            waits = (
                each.outbox,
                _length(each.outbox_oldest_seconds),
                each.lag,
                each.parked_messages,
            )
            numbers = [each.calls_in_hand, *waits]
        ready = "yes" if each.is_ready else "[red]no[/red]"
        parts.add_row(each.part, each.address, ready, each.version, each.schema, *map(str, numbers), each.says)
    console.print(parts)
    standing = Table("saga", "status", "step", "how many", "stillest")
    for one in sagas:
        standing.add_row(one.saga_type, one.status, one.step, str(one.sagas), _length(one.oldest_seconds))
    console.print(standing if sagas else "No saga is under way.")
