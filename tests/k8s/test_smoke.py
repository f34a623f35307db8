"""`make k8s-smoke` without a cluster: kubectl is played, and so are the sample and the story, which others hold."""

import asyncio
import base64
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy import smoke
from deploy.smoke import Cluster, ClusterTrouble
from devstack import sample, story
from devstack.process import is_running
from devstack.secrets import PEOPLE
from devstack.story_stage import StoryWentWrong
from petpro_common.testing import eventually

pytestmark = pytest.mark.unit

REPORT = {"checked": [{"rows": 3}, {"rows": 4}], "violations": []}
FORWARDS = 'echo $$ >"$FOLDER/forwarding"; echo "Forwarding from 127.0.0.1:40123 -> 8080"; exec sleep 60'
MAILS = 'exec "$PYTHON" -c "$(printf %s "$6" | sed "s#/state#$FOLDER#")" "$7"'
ENDS = """if [ -e "$FOLDER/asked-before" ]; then echo '{"status": {"conditions": [%s]}}'
else touch "$FOLDER/asked-before"; echo '{"status": {}}'; fi"""
COMPLETE = ENDS % '{"type": "SuccessCriteriaMet"}, {"type": "Complete"}'
FAILED = ENDS % '{"type": "FailureTarget"}, {"type": "Failed"}'

Play = Callable[..., Cluster]


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Play:
    """Plays kubectl: a script for each verb, whose words are its arguments and stand in `asked` afterwards."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("FOLDER", str(tmp_path))
    monkeypatch.setenv("PYTHON", sys.executable)

    def made(patience: int = 10, **verbs: str) -> Cluster:
        cases = "".join(f"{verb}) {script} ;;\n" for verb, script in verbs.items())
        file = tmp_path / "kubectl"
        file.write_text(f'#!/bin/sh\nshift 2\necho "$@" >>"$FOLDER/asked"\ncase $1 in\n{cases}*) exit 2 ;;\nesac\n')
        file.chmod(0o755)
        return Cluster("petpro", patience)

    return made


def asked(folder: Path) -> list[str]:
    return (folder / "asked").read_text().splitlines()


def secret(**data: str) -> str:
    return json.dumps({"data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}})


def test_it_waits_as_long_as_it_is_told(play: Play, tmp_path: Path) -> None:
    play(wait="exit 0").wait("Available", "deployment", "--all")
    assert asked(tmp_path) == ["wait --for=condition=Available --timeout=10s deployment --all"]


def test_what_kubectl_says_is_the_trouble(play: Play) -> None:
    cluster = play(wait="echo 'timed out waiting for the condition on deployments/petpro-booking' >&2; exit 1")
    with pytest.raises(
        ClusterTrouble, match="kubectl wait: timed out waiting for the condition on deployments/petpro-booking"
    ):
        cluster.wait("Available", "deployment", "--all")


def test_a_secret_is_read_as_it_was_written(play: Play) -> None:
    assert play(get=f"echo '{secret(key='kucing')}'").secret("petpro-payment", "key") == "kucing"


def test_a_port_is_forwarded_for_as_long_as_it_is_needed(play: Play, tmp_path: Path) -> None:
    with play(**{"port-forward": FORWARDS}).forwarded("petpro-gateway", 80) as url:
        assert url == "http://127.0.0.1:40123"
        forwarding = int((tmp_path / "forwarding").read_text())
        assert is_running(forwarding)
    assert not is_running(forwarding)
    assert asked(tmp_path) == ["port-forward service/petpro-gateway :80"]


def test_a_port_that_cannot_be_forwarded_is_said(play: Play) -> None:
    cluster = play(**{"port-forward": "exit 1"})
    with pytest.raises(ClusterTrouble, match="petpro-gateway"), cluster.forwarded("petpro-gateway", 80):
        pass


async def test_each_mail_is_copied_once_as_it_comes(
    play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smoke, "_MAILS_EVERY_SECONDS", 0.05)
    (here := tmp_path / "here").mkdir()
    (tmp_path / "1.eml").write_text("Your booking")
    async with smoke._mails_copied(play(exec=MAILS), here):
        await eventually(lambda: (here / "1.eml").exists())
        (tmp_path / "2.eml").write_text("Selamat")
        await eventually(lambda: (here / "2.eml").exists())
    assert [file.read_text() for file in sorted(here.iterdir())] == ["Your booking", "Selamat"]
    assert asked(tmp_path)[1].endswith(" 1.eml")


async def test_that_mails_cannot_be_copied_is_said_instead_of_what_lacks_them(play: Play, tmp_path: Path) -> None:
    cluster = play(exec="echo 'no such container' >&2; exit 1")

    async def tell_without_mails() -> None:
        async with smoke._mails_copied(cluster, tmp_path):
            await eventually(lambda: asyncio.all_tasks() == {asyncio.current_task()})  # it has failed
            raise StoryWentWrong("no mail came")

    with pytest.raises(ClusterTrouble, match="no such container"):
        await tell_without_mails()


def test_the_auditors_report_is_what_stands_in_its_log(play: Play, tmp_path: Path) -> None:
    log = f"echo 'leaves out what is younger than 60 s'; echo '{json.dumps(REPORT)}'"
    assert smoke._audit(play(create="exit 0", get=COMPLETE, logs=log)) == REPORT
    made, *looked, read = asked(tmp_path)
    job = made.split()[2]
    assert made == f"create job {job} --from=cronjob/petpro-reconciliation"
    assert looked == [f"get job {job} --output=json"] * 2
    assert read == f"logs job/{job}"


def test_an_audit_that_finds_something_is_trouble_and_says_what(play: Play) -> None:
    cluster = play(create="exit 0", get=FAILED, logs="echo 'a booking without a payment'")
    with pytest.raises(ClusterTrouble, match=r"ended as Failed\. a booking without a payment"):
        smoke._audit(cluster)


def test_an_audit_that_never_ends_is_not_waited_for(play: Play) -> None:
    with pytest.raises(ClusterTrouble, match="has not ended in 0 s"):
        smoke._audit(play(0, create="exit 0", get="echo '{\"status\": {}}'"))


@pytest.mark.parametrize("story_goes_well", [True, False])
def test_the_story_is_played_through_what_is_forwarded_and_all_is_audited(
    play: Play,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    story_goes_well: bool,
) -> None:
    seen: dict[str, Any] = {}

    async def load(gateway: str, users: Any) -> None:
        seen["loaded through"] = gateway

    async def tell(_: Any, endpoints: Any) -> None:
        key = endpoints["secrets"] / "payment" / "petpro_payment_sandbox_api_key"
        seen.update(endpoints, key=key.read_text())
        if not story_goes_well:
            raise StoryWentWrong("no refund came")

    monkeypatch.setattr(sample, "load_through", load)
    monkeypatch.setattr(story, "tell", tell)
    monkeypatch.setattr(smoke, "_AUDITORS_GRACE_SECONDS", 0)
    monkeypatch.setattr(sys, "argv", ["smoke"])
    secrets = secret(bootstrap_admin_password="meong", sandbox_api_key="kucing")
    play(
        **{"wait": "exit 0", "port-forward": FORWARDS, "exec": "echo '{}'", "create": "exit 0"},
        get=f"if [ $2 = secret ]; then echo '{secrets}'; else {COMPLETE}; fi",
        logs=f"echo '{json.dumps(REPORT)}'",
    )

    if story_goes_well:
        smoke.main()
    else:
        with pytest.raises(SystemExit) as ended:
            smoke.main()
        assert ended.value.code == 1

    said = capsys.readouterr().out
    assert seen["loaded through"] == seen["gateway_url"] == seen["sandbox"]["url"] == "http://127.0.0.1:40123"
    assert seen["users"].keys() == PEOPLE.keys()
    assert (seen["users"]["admin"]["password"], seen["key"]) == ("meong", "kucing")
    assert ("7 rows by 2 invariants" in said) == story_goes_well
    assert ("no refund came" in said) != story_goes_well
