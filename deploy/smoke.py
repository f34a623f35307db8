"""`python -m deploy.smoke`: plays the dev stack's stories on the dev overlay, in the cluster that kubectl speaks to.

It waits until every Deployment is available, loads the sample data, books, pays, cancels and gets the money back
through the gateway, and has the auditor look at everything. Exit code 0 when all went well, else 1. Run again, it finds
its clinics there. It reads Secrets of the namespace, and reaches pods by `kubectl port-forward` and `kubectl exec`.
"""

import argparse
import asyncio
import base64
import hashlib
import hmac
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from devstack import sample, story
from devstack.api import Json, Refused
from devstack.secrets import PEOPLE
from devstack.story_stage import StoryWentWrong
from devstack.transcript import Transcript

_MAILS_AFTER = (
    "python",
    "-c",
    "import json, pathlib, sys; files = sorted(pathlib.Path('/state').glob('*.eml')); "
    "print(json.dumps({file.name: file.read_text() for file in files if file.name > sys.argv[1]}))",
)
"""Prints the mails that came after the one of that name, by their names, which sort by arrival."""
_MAILS_EVERY_SECONDS = 1.0
_AUDITORS_GRACE_SECONDS = 65.0


class ClusterTrouble(Exception):
    """What kubectl said."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--namespace", default="petpro")
    parser.add_argument(
        "--patience",
        type=int,
        default=600,
        metavar="SECONDS",
        help="how long to wait for the Deployments, and for the audit",
    )
    asked = parser.parse_args()
    told = Transcript()
    try:
        asyncio.run(play(Cluster(asked.namespace, asked.patience), told))
    except (ClusterTrouble, StoryWentWrong, Refused, httpx.HTTPError) as trouble:
        told.trouble(str(trouble) or repr(trouble))
        sys.exit(1)


class Cluster:
    """One namespace of the cluster. Every method raises ClusterTrouble when kubectl fails."""

    def __init__(self, namespace: str, patience: int) -> None:
        self._kubectl = ("kubectl", "--namespace", namespace)
        self.patience = patience
        """Seconds that it waits for anything."""

    def wait(self, condition: str, *what: str) -> None:
        """Until all of that is in that condition."""
        self.run("wait", f"--for=condition={condition}", f"--timeout={self.patience}s", *what)

    def secret(self, name: str, key: str) -> str:
        data = json.loads(self.run("get", "secret", name, "--output=json"))["data"]
        return base64.b64decode(data[key]).decode()

    def run(self, *words: str) -> bytes:
        """What kubectl prints."""
        done = subprocess.run([*self._kubectl, *words], capture_output=True, check=False)
        if done.returncode != 0:
            raise ClusterTrouble(f"kubectl {words[0]}: {done.stderr.decode().strip()}")
        return done.stdout

    @contextmanager
    def forwarded(self, service: str, port: int) -> Iterator[str]:
        """The service's URL on this machine, for as long as the context is open."""
        command = [*self._kubectl, "port-forward", f"service/{service}", f":{port}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as forwarding:
            try:
                assert forwarding.stdout
                said = forwarding.stdout.readline()  # Forwarding from 127.0.0.1:40123 -> 8080
                if " -> " not in said:
                    raise ClusterTrouble(f"kubectl forwards no port of the Service {service}")
                yield f"http://{said.split(' -> ')[0].rsplit(' ', 1)[1]}"
            finally:
                forwarding.terminate()


async def play(cluster: Cluster, told: Transcript) -> None:
    """Raises ClusterTrouble, StoryWentWrong, Refused, or an error of httpx."""
    with told.work("Waiting for the Deployments"):
        cluster.wait("Available", "deployment", "--all")
    with cluster.forwarded("petpro-gateway", 80) as gateway, cluster.forwarded("sandbox", 8080) as provider:
        users = _people(cluster.secret("petpro-account", "bootstrap_admin_password"))
        with told.work("Loading the sample data"):
            await sample.load_through(gateway, users)
        with TemporaryDirectory() as folder:
            endpoints = {
                "gateway_url": gateway,
                "sandbox": {"url": provider},
                "users": users,
                "mail": {"folder": folder},
                "secrets": _provider_key(cluster, Path(folder)),
            }
            async with _mails_copied(cluster, Path(folder)):
                await story.tell(told, endpoints)
    with told.work("Waiting until the auditor no longer takes what is new for work in hand"):
        await asyncio.sleep(_AUDITORS_GRACE_SECONDS)
    with told.work("Auditing everything"):
        said = _audit(cluster)
    told.section("What the auditor says")
    told.fact("looked at", f"{sum(each['rows'] for each in said['checked'])} rows by {len(said['checked'])} invariants")
    told.fact("violations", str(len(said["violations"])))


def _people(admin_password: str) -> dict[str, dict[str, str]]:
    """The administrator; and the others with passwords that are the same in every run on this cluster."""
    made = {who: hmac.digest(admin_password.encode(), who.encode(), hashlib.sha256).hex() for who in PEOPLE}
    return {who: {"email": PEOPLE[who], "password": word} for who, word in (made | {"admin": admin_password}).items()}


def _provider_key(cluster: Cluster, folder: Path) -> Path:
    """A folder of secrets as a dev stack has it, with the payment sandbox's key."""
    file = folder / "secrets" / "payment" / "petpro_payment_sandbox_api_key"
    file.parent.mkdir(parents=True)
    file.write_text(cluster.secret("petpro-payment", "sandbox_api_key"))
    return folder / "secrets"


@asynccontextmanager
async def _mails_copied(cluster: Cluster, folder: Path) -> AsyncIterator[None]:
    """Copies the mails that the cluster's mail sink keeps into the folder, as they come."""

    async def copy() -> None:
        newest = ""
        while True:
            said = await asyncio.to_thread(cluster.run, "exec", "deployment/mail", "--", *_MAILS_AFTER, newest)
            for newest, text in json.loads(said).items():
                (folder / newest).write_text(text)
            await asyncio.sleep(_MAILS_EVERY_SECONDS)

    copying = asyncio.create_task(copy())
    try:
        yield
    finally:
        if copying.done():
            copying.result()
        copying.cancel()


def _audit(cluster: Cluster) -> Json:
    """The report of a run of the reconciliation CronJob. Raises ClusterTrouble, with that, when it finds violations."""
    job = f"smoke-{datetime.now(UTC):%Y%m%d%H%M%S}"
    cluster.run("create", "job", job, "--from=cronjob/petpro-reconciliation")
    until = time.monotonic() + cluster.patience
    while not (ended := _ended(cluster, job)):
        if time.monotonic() > until:
            raise ClusterTrouble(f"The Job {job} has not ended in {cluster.patience} s")
        time.sleep(1)
    said = cluster.run("logs", f"job/{job}").decode()
    if ended != "Complete":
        raise ClusterTrouble(f"The Job {job} ended as {ended}. {said}")
    report: Json = json.loads(said[said.index("{") :])  # above it the auditor may say what it leaves out
    return report


def _ended(cluster: Cluster, job: str) -> str:
    """Complete or Failed; empty while the Job runs."""
    status = json.loads(cluster.run("get", "job", job, "--output=json"))["status"]
    return next((each["type"] for each in status.get("conditions", []) if each["type"] in ("Complete", "Failed")), "")


if __name__ == "__main__":
    main()
