"""The transcript of the main stories: played on a running stack, told in plain words, and honest when it goes wrong."""

import io
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from rich.console import Console

from devstack import sample, story
from devstack.api import Call
from devstack.story_scenes import HERE
from devstack.transcript import Transcript
from tests.world import World


async def test_both_stories_play_and_are_told_with_what_the_system_answered(world: World) -> None:
    clinic = await world.clinic(at=(HERE["latitude"], HERE["longitude"]), price="123456.00")
    name = (await world.visitor.get(f"/v1/clinics/{clinic.id}"))["clinic"]["name"]
    page = io.StringIO()
    await story.tell(Transcript(Console(file=page, soft_wrap=True)), world.stack.endpoints)
    told = page.getvalue()
    bookings = await world.rows(
        "booking", "SELECT reference_code, status FROM bookings WHERE clinic_id = %(id)s", id=clinic.id
    )
    assert sorted(booking["status"] for booking in bookings) == ["cancelled", "confirmed"]
    for shown in (name, "IDR 123,456.00", "REFUND_REFUSED", *(booking["reference_code"] for booking in bookings)):
        assert shown in told
    assert "reads what would come back, by the clinic's policy" in told
    assert "Dewi opens its link" in told
    assert "IDR 0.00" in told, "what comes back to who does not come"
    assert f"Your booking at {name} could not be cancelled" in told
    assert "\x1b" not in told


async def test_a_story_that_goes_wrong_says_so_and_ends_with_one(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(_stack: Any) -> None:
        """The sample data is not needed."""

    monkeypatch.setattr(sample, "load", nothing)
    nobody = {"email": "nobody@example.com", "password": "not-the-password"}
    wrong = SimpleNamespace(endpoints={**world.stack.endpoints, "users": {"admin": nobody}})
    with pytest.raises(typer.Exit) as ended:
        await story.play(wrong)  # type: ignore[arg-type]
    assert ended.value.exit_code == 1
    assert "The story went wrong." in capsys.readouterr().out


@pytest.mark.unit
def test_columns_are_aligned_and_calls_stand_at_the_side() -> None:
    page = io.StringIO()
    told = Transcript(Console(file=page, soft_wrap=True))
    told.step("Dewi looks around", Call("GET /v1/clinics", 12.4))
    told.table(("", "price"), [("Grooming", "9.00"), ("Check-up", "150.00")], right=[1])
    _, sentence, head, *rows = page.getvalue().splitlines()
    assert sentence.startswith("  1  Dewi looks around")
    assert sentence.endswith("GET /v1/clinics     12 ms")
    assert len({len(line) for line in (head, *rows)}) == 1
