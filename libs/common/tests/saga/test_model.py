"""A definition that could not be rolled back, asked again or told apart is refused when it is written down."""

from dataclasses import replace
from datetime import timedelta

import pytest
from google.protobuf.empty_pb2 import Empty

from petpro_common.saga.model import BadSaga, Local, Remote, Saga, Step, StepKind

pytestmark = pytest.mark.unit

COMPENSATABLE, PIVOT, RETRIABLE = StepKind.COMPENSATABLE, StepKind.PIVOT, StepKind.RETRIABLE
HOLD = Step("hold", COMPENSATABLE, Local("hold"), undo=Local("release"))
PAY = Step("pay", PIVOT, Local("pay"))
TELL = Step("tell", RETRIABLE, Local("tell"))


def _asks(service: str = "groomer") -> Remote:
    return Remote(service, lambda _: Empty())


def _learns() -> Remote:
    return Remote("groomer", lambda _: Empty(), Empty, lambda _: {"receipt": "R-1"})


BRUSH = _asks()


def test_compensatable_then_pivot_then_retriable_is_a_saga() -> None:
    assert Saga("visit", 1, (HOLD, PAY, TELL)).index("pay") == 1


@pytest.mark.parametrize(
    "steps", [(HOLD,), (PAY,), (TELL,), (HOLD, TELL), (HOLD, PAY), (Step("brush", COMPENSATABLE, _learns(), _asks()),)]
)
def test_no_kind_of_step_is_needed(steps: tuple[Step, ...]) -> None:
    assert Saga("visit", 1, steps).steps == steps


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ((), "at least one step"),
        ((PAY, HOLD), "compensatable steps come first"),
        ((TELL, PAY), "compensatable steps come first"),
        ((TELL, HOLD), "compensatable steps come first"),
        ((HOLD, PAY, Step("pay_again", PIVOT, Local("pay"))), "one pivot"),
        ((HOLD, HOLD), "names must differ"),
        ((Step("pay", PIVOT, Local("pay"), undo=Local("unpay")),), "pay is pivot and can never be compensated"),
        ((Step("tell", RETRIABLE, Local("tell"), undo=Local("untell")),), "tell is retriable and can never be"),
        ((Step("hold", COMPENSATABLE, Local("hold"), undo=Local("hold")),), "undone by being done again"),
        ((Step("brush", COMPENSATABLE, BRUSH, undo=BRUSH),), "undone by being done again"),
        ((Step("brush", RETRIABLE, BRUSH, along=True),), "brush goes along with no command"),
        ((HOLD, Step("brush", RETRIABLE, BRUSH, along=True)), "brush goes along with no command"),
        ((Step("pay", PIVOT, _asks("payment")), Step("brush", RETRIABLE, BRUSH, along=True)), "to the same service"),
        ((Step("wash", PIVOT, BRUSH), Step("tell", RETRIABLE, Local("tell"), along=True)), "to the same service"),
        ((Step("wash", PIVOT, _learns()), Step("brush", RETRIABLE, BRUSH, along=True)), "may need its result"),
    ],
)
def test_an_order_that_cannot_be_rolled_back_is_refused(steps: tuple[Step, ...], said: str) -> None:
    with pytest.raises(BadSaga, match=said):
        Saga("visit", 1, steps)


@pytest.mark.parametrize(
    ("patience", "horizon"), [(0, 60), (-1, 60), (60, 60), (61, 60)], ids=["none", "negative", "equal", "longer"]
)
def test_a_step_that_would_never_be_asked_again_is_refused(patience: int, horizon: int) -> None:
    waits = replace(HOLD, patience=timedelta(seconds=patience), horizon=timedelta(seconds=horizon))
    with pytest.raises(BadSaga, match="hold needs a patience above zero, and a longer horizon"):
        Saga("visit", 1, (waits,))


@pytest.mark.parametrize("name", ["", "hold it", "hold:backward", "hold.it", "Hold", "hold>", "1st"])
def test_a_name_that_would_break_a_subject_or_a_command_id_is_refused(name: str) -> None:
    with pytest.raises(BadSaga, match="lower case"):
        Saga("visit", 1, (Step(name, COMPENSATABLE, Local("hold")),))
    with pytest.raises(BadSaga, match="lower case"):
        Saga(name, 1, (HOLD,))
    with pytest.raises(BadSaga, match="no service's name"):
        Saga("visit", 1, (Step("hold", COMPENSATABLE, _asks(name)),))


@pytest.mark.parametrize("version", [0, -1])
def test_versions_count_from_one(version: int) -> None:
    with pytest.raises(BadSaga, match="from 1"):
        Saga("visit", version, (HOLD,))


@pytest.mark.parametrize(
    ("do", "undo", "said"),
    [
        (Remote("groomer", lambda _: Empty(), Empty), _asks(), "come together"),
        (Remote("groomer", lambda _: Empty(), learn=lambda _: {}), _asks(), "come together"),
        (_asks(), _learns(), "which nobody reads"),
    ],
)
def test_a_step_that_would_learn_nothing_is_refused(do: Remote, undo: Remote, said: str) -> None:
    with pytest.raises(BadSaga, match=said):
        Saga("visit", 1, (Step("brush", COMPENSATABLE, do, undo=undo),))


def test_every_fault_is_named_at_once() -> None:
    with pytest.raises(BadSaga, match=r"^visit: versions count from 1; compensatable .*; step names must differ$"):
        Saga("visit", 0, (PAY, HOLD, HOLD))
