"""An order of steps that could not be rolled back is refused when the saga is defined."""

import pytest

from petpro_common.saga.model import BadSaga, Local, Saga, Step, StepKind

pytestmark = pytest.mark.unit

HOLD = Step("hold", StepKind.COMPENSATABLE, Local("hold"), undo=Local("release"))
PAY = Step("pay", StepKind.PIVOT, Local("pay"))
TELL = Step("tell", StepKind.RETRIABLE, Local("tell"))


def test_compensatable_then_pivot_then_retriable_is_a_saga() -> None:
    assert Saga("visit", 1, (HOLD, PAY, TELL)).index("pay") == 1


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ((), "at least one step"),
        ((PAY, HOLD), "compensatable steps come first"),
        ((TELL, PAY), "compensatable steps come first"),
        ((TELL, HOLD), "compensatable steps come first"),
        ((HOLD, PAY, Step("pay again", StepKind.PIVOT, Local("pay"))), "one pivot"),
        ((HOLD, HOLD), "names must differ"),
        ((Step("pay", StepKind.PIVOT, Local("pay"), undo=Local("unpay")),), "can never be compensated"),
        ((PAY, Step("tell", StepKind.RETRIABLE, Local("tell"), undo=Local("untell"))), "can never be compensated"),
    ],
)
def test_an_order_that_cannot_be_rolled_back_is_refused(steps: tuple[Step, ...], said: str) -> None:
    with pytest.raises(BadSaga, match=said):
        Saga("visit", 1, steps)
