"""The supervisor: parts die and come back, data stays, and nothing is left behind."""

import asyncio
import errno
import os
import signal
import smtplib
import stat
import subprocess
import sys
import time
from email.message import EmailMessage
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from devstack.layout import ROOT
from devstack.ownership import is_owned
from devstack.part import PartFailed
from devstack.process import descendants, is_running
from devstack.running import RunningStack
from devstack.stack import Stack
from devstack.supervised import State
from devstack.testing import StartStack, folder_of_run, start_stack, stop_stack

INFRASTRUCTURE = ["postgres", "nats", "mail"]


@pytest.fixture(scope="module")
def infrastructure(start_own_stack: StartStack) -> RunningStack:
    return start_own_stack(only=INFRASTRUCTURE, as_shipped=True)


@pytest.fixture
def run() -> Path:
    """The folder of one test's stack."""
    return folder_of_run() / f"own-{uuid4().hex[:8]}"


async def count_pets(stack: RunningStack) -> int:
    async with await psycopg.AsyncConnection.connect(stack.endpoints["postgres"]["dsn"]) as connection:
        await connection.execute("CREATE TABLE IF NOT EXISTS pets (name text)")
        await connection.execute("INSERT INTO pets VALUES ('Moko')")
        cursor = await connection.execute("SELECT count(*) FROM pets")
        row = await cursor.fetchone()
        assert row is not None
        return int(row[0])


async def test_a_killed_database_comes_back_on_its_port_with_its_data(infrastructure: RunningStack) -> None:
    before = infrastructure.endpoints
    known = await count_pets(infrastructure)
    await infrastructure.kill("postgres")
    assert infrastructure.pid("postgres") is None
    with pytest.raises(psycopg.OperationalError):
        await count_pets(infrastructure)
    await infrastructure.start_part("postgres")
    assert await count_pets(infrastructure) == known + 1
    after = infrastructure.endpoints
    assert after["postgres"]["dsn"] == before["postgres"]["dsn"]
    assert after["postgres"]["pid"] != before["postgres"]["pid"]


async def test_the_others_live_on_when_a_part_is_killed(infrastructure: RunningStack) -> None:
    others = {part: infrastructure.pid(part) for part in ("postgres", "mail")}
    await infrastructure.kill("nats")
    await infrastructure.start_part("nats")
    assert {part: infrastructure.pid(part) for part in others} == others
    assert all(pid is not None and is_running(pid) for pid in others.values())


async def test_a_part_that_ends_by_itself_is_said_to_have_failed(infrastructure: RunningStack) -> None:
    pid = infrastructure.pid("mail")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    async with asyncio.timeout(60):
        while infrastructure.state("mail") != "failed":
            await asyncio.sleep(0.02)
    await infrastructure.start_part("mail")
    assert infrastructure.state("mail") == "ready"


@pytest.mark.parametrize("address", ["b@petpro.example", "用户@petpro.example"])
def test_a_mail_is_kept_as_a_file(infrastructure: RunningStack, address: str) -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "a@petpro.example", address, "Moko's visit"
    message.set_content("Sampai jumpa!")
    mail = infrastructure.endpoints["mail"]
    host, _, port = mail["address"].partition(":")
    with smtplib.SMTP(host, int(port)) as connection:
        connection.send_message(message)
    [kept] = [mail.read_text() for mail in Path(mail["folder"]).glob("*.eml") if address in mail.read_text()]
    assert "Subject: Moko's visit" in kept
    assert f"X-Envelope-To: {address}" in kept
    assert f"\nTo: {address}" in kept


def petproctl(run: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "petproctl", "dev", *words, "--run", str(run)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_petproctl_kills_and_starts_a_part(infrastructure: RunningStack) -> None:
    run = infrastructure.run
    assert petproctl(run, "kill", "mail").returncode == 0
    assert infrastructure.state("mail") == "down"
    assert petproctl(run, "start", "mail").returncode == 0
    assert infrastructure.state("mail") == "ready"
    assert "ready" in petproctl(run, "status").stdout
    unknown = petproctl(run, "kill", "teapot")
    assert unknown.returncode == 1
    assert "no such part: teapot" in unknown.stderr


def test_a_second_stack_in_the_same_folder_says_that_one_runs(infrastructure: RunningStack) -> None:
    second = _supervisor(infrastructure.run, "mail")
    _, complaint = second.communicate(timeout=60)
    assert second.returncode == 1
    assert b"A stack already runs" in complaint


def test_only_its_owner_reads_what_holds_passwords(infrastructure: RunningStack) -> None:
    secrets = [file for file in (infrastructure.run / "secrets").rglob("*") if file.is_file()]
    private = [*secrets, infrastructure.run / "stack.json", infrastructure.run / "nats" / "nats.conf"]
    assert len(private) > 10
    assert {stat.S_IMODE(file.stat().st_mode) for file in private} == {0o600}


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT])
def test_a_stack_that_is_told_to_stop_leaves_nothing_and_finds_its_data_again(run: Path, told: signal.Signals) -> None:
    first = start_stack(run, INFRASTRUCTURE, as_shipped=True)
    assert asyncio.run(count_pets(first)) == 1
    supervisor = first.endpoints["supervisor"]["pid"]
    family, control = descendants(supervisor), Path(first.endpoints["control"])
    assert len(family) > 3
    os.kill(supervisor, told)
    _wait_until_gone([supervisor, *family])
    assert not control.parent.exists()
    second = start_stack(run, INFRASTRUCTURE, as_shipped=True)
    assert asyncio.run(count_pets(second)) == 2
    assert second.endpoints["nats_url"] == first.endpoints["nats_url"]
    stop_stack(second)


@pytest.mark.parametrize("as_shipped", [True, False], ids=["as shipped", "forked"])
def test_nothing_outlives_a_supervisor_that_was_killed(run: Path, as_shipped: bool) -> None:
    first = start_stack(run, INFRASTRUCTURE, as_shipped=as_shipped)
    supervisor = first.endpoints["supervisor"]["pid"]
    family = [*descendants(supervisor), *(first.pid(part) or 0 for part in INFRASTRUCTURE)]
    os.kill(supervisor, signal.SIGKILL)
    _wait_until_gone(family)
    stop_stack(start_stack(run, INFRASTRUCTURE, as_shipped=as_shipped))


async def test_a_part_that_cannot_start_is_named_with_its_log_and_all_is_stopped(tmp_path: Path) -> None:
    nowhere = {"mail": {"PYTHONPATH": str(tmp_path), "PYTHONHOME": "/nonexistent"}}
    stack = Stack(tmp_path / "run", only=["nats", "mail"], env=nowhere)
    with pytest.raises(PartFailed, match="mail ended with status") as failure:
        await stack.start()
    assert "Python" in failure.value.log
    assert [part for part in stack.parts.values() if part.pid] == []
    assert not is_owned(stack.layout.supervisor_lock)


async def test_a_full_disk_keeps_no_part_from_being_stopped_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stack = Stack(tmp_path / "run", only=("mail", "nats"))
    await stack.start()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("devstack.stack.write_private_json", full)
    await stack.stop()
    assert {part.state for part in stack.parts.values()} == {State.DOWN}
    assert not is_owned(stack.layout.supervisor_lock)
    assert "No space left on device" in capsys.readouterr().err


def test_petproctl_says_that_a_stack_was_stopped(tmp_path: Path) -> None:
    (tmp_path / "stack.json").write_text('{"control": null, "parts": {}}')
    found = petproctl(tmp_path, "status")
    assert (found.returncode, found.stdout) == (1, "")
    assert "it was stopped" in " ".join(found.stderr.split())


async def test_two_stacks_live_side_by_side(tmp_path: Path) -> None:
    one, two = (Stack(tmp_path / name, only=["nats"]) for name in ("one", "two"))
    await asyncio.gather(one.start(), two.start())
    assert one.endpoints["nats_url"] != two.endpoints["nats_url"]
    await asyncio.gather(one.stop(), two.stop())


def _supervisor(run: Path, only: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "devstack", "serve", "--run", str(run), "--only", only]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def _wait_until_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + 60
    while any(is_running(pid) for pid in pids):
        assert time.monotonic() < deadline, [pid for pid in pids if is_running(pid)]
        time.sleep(0.02)
