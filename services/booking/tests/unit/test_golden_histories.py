"""Every released version of every saga still does what it did when it was released: sagas in flight count on it."""

import json
from dataclasses import replace
from datetime import timedelta
from difflib import unified_diff
from itertools import product
from pathlib import Path

import pytest

from petpro.payment.v1 import commands_pb2 as payment
from petpro_booking.saga import CANCELLATION, CHECKOUT, FINISHING, SAGAS
from petpro_common.saga import Local, Remote, Saga, Step, StepKind
from petpro_common.saga.model import Data
from services.booking.tests.golden.__main__ import write
from services.booking.tests.golden.histories import FOLDER, folder_of, golden_files, replayed

RELEASED = (*SAGAS, *FINISHING)
HISTORIES = [(saga, file) for saga in RELEASED for file in golden_files(saga)]


def _difference(saga: Saga, file: Path) -> str:
    """What the definition does otherwise than the history tells; empty when nothing."""
    golden = file.read_text()
    told = replayed(saga, json.loads(golden))
    if told.history == json.loads(golden)["history"]:
        return ""
    lines = unified_diff(golden.splitlines(), told.written().splitlines(), file.name, "the code", lineterm="", n=1)
    return "\n".join(lines)


@pytest.mark.parametrize(("saga", "file"), HISTORIES, ids=[f"{file.parent.name}/{file.stem}" for _, file in HISTORIES])
def test_a_released_definition_does_what_it_did(saga: Saga, file: Path) -> None:
    if difference := _difference(saga, file):
        pytest.fail(
            f"{saga.type} version {saga.version} is released, and sagas in flight run on it. Leave it as it was, "
            f"and write the change as a new version (docs/saga.md).\n{difference}",
            pytrace=False,
        )


def test_every_definition_has_golden_histories_and_every_history_a_definition() -> None:
    told = {folder for folder in FOLDER.iterdir() if any(folder.glob("*.json"))}
    assert told == {folder_of(saga) for saga in RELEASED}


@pytest.mark.parametrize("saga", RELEASED, ids=lambda saga: f"{saga.type}-{saga.version}")
def test_the_histories_of_a_saga_tell_all_that_can_happen_to_each_of_its_steps(saga: Saga) -> None:
    heard = [entry["hears"] for file in golden_files(saga) for entry in json.loads(file.read_text())["history"]]
    told = {(signal["step"], signal["direction"], signal["signal"]) for signal in heard if "step" in signal}
    ways = [(step.name, way) for step in saga.steps for way in ("forward", "backward") if way == "forward" or step.undo]
    outcomes = ("succeeded", "refused", "pending", "timed_out")
    assert told == {(*way, outcome) for way, outcome in product(ways, outcomes)}
    verbs = {signal["verb"] for signal in heard if signal["signal"] == "operator"}
    turns_back = {"compensate", "resolve_compensated"} if saga.steps[0].kind is StepKind.COMPENSATABLE else set()
    assert verbs == {"retry", "skip", "resolve_completed"} | turns_back


def _instead(step: Step) -> Saga:
    """Checkout with one step changed."""
    return replace(CHECKOUT, steps=tuple(step if step.name == known.name else known for known in CHECKOUT.steps))


def _cancel_without_booking(data: Data) -> payment.CancelPayment:
    return payment.CancelPayment(payment_id=data["payment_id"], reason=data.get("failure_reason", ""))


BEGIN, APPROVE, PAY, CONFIRM, FEE = CHECKOUT.steps
TAKE_PAYMENT = PAY.do
assert isinstance(TAKE_PAYMENT, Remote)
LOOK = Step("look", StepKind.COMPENSATABLE, Local("look"))
CHANGED = {
    "a step added": replace(CHECKOUT, steps=(BEGIN, LOOK, APPROVE, PAY, CONFIRM, FEE)),
    "a step removed": replace(CHECKOUT, steps=(BEGIN, APPROVE, PAY, CONFIRM)),
    "steps reordered": replace(CHECKOUT, steps=(BEGIN, PAY, APPROVE, CONFIRM, FEE)),
    "a step renamed": replace(CHECKOUT, steps=(BEGIN, APPROVE, replace(PAY, name="charge"), CONFIRM, FEE)),
    "of another kind": _instead(replace(CONFIRM, kind=StepKind.RETRIABLE)),
    "no longer undone": _instead(replace(PAY, undo=None)),
    "a payload field gone": _instead(replace(PAY, undo=Remote("payment", _cancel_without_booking))),
    "needed always": _instead(replace(APPROVE, when=bool)),
    "more patient": _instead(replace(CONFIRM, patience=timedelta(seconds=6))),
    "given up sooner": _instead(replace(CONFIRM, horizon=timedelta(hours=23, minutes=59))),
    "given up later": _instead(replace(CONFIRM, horizon=timedelta(hours=24, seconds=1))),
    "nothing learned": _instead(replace(PAY, do=replace(TAKE_PAYMENT, learn=lambda _: {}))),
    "nothing forgotten": replace(CHECKOUT, forgets=frozenset()),
}


@pytest.mark.parametrize("change", CHANGED)
def test_a_definition_that_has_changed_is_noticed(change: str) -> None:
    assert any(_difference(CHANGED[change], file) for file in golden_files(CHECKOUT))


def test_a_difference_is_told_line_by_line() -> None:
    difference = _difference(CHANGED["a payload field gone"], folder_of(CHECKOUT) / "refused_confirm.json")
    changed = [line for line in difference.splitlines() if line[0] in "+-"]
    assert changed[:2] == ["--- refused_confirm.json", "+++ the code"]
    assert ["booking_id" in line for line in changed[2:]] == [True, False]
    assert all('"command": "petpro.payment.v1.CancelPayment"' in line for line in changed[2:])


def test_what_is_released_is_not_written_again(tmp_path: Path) -> None:
    assert write(CANCELLATION, tmp_path) == len(list(golden_files(CANCELLATION)))
    with pytest.raises(FileExistsError):
        write(CANCELLATION, tmp_path)
