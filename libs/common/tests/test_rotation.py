"""A service's own key follows another without a refusal: each step beside replicas that are a step behind."""

from itertools import pairwise
from pathlib import Path

import pytest

from petpro_common.auth import ServiceTokens, Verifier
from petpro_common.errors import Unauthenticated
from petpro_common.sealing import Opener, Sealer
from petpro_common.testing import KeyRing

pytestmark = pytest.mark.unit


class Step:
    """What replicas have at one step: the file of public keys, and payment's private keys, the first of which signs."""

    def __init__(self, folder: Path, published: list[KeyRing], private: list[KeyRing]) -> None:
        folder.mkdir()
        made = KeyRing(folder)
        made.publish(*published)
        self.verifier: Verifier = made.verifier()
        self.sealer = Sealer(made.service_jwks_file, "payment")
        text = "".join(ring.service_key("payment") for ring in private)
        self.tokens, self.opener = ServiceTokens("payment", text), Opener(text)


@pytest.fixture
def steps(tmp_path: Path) -> list[Step]:
    """The old key; the new one published behind it; used, before the old one; the old one no longer published; gone."""
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    old, new = KeyRing(tmp_path / "old"), KeyRing(tmp_path / "new")
    at_each = [
        ([old], [old]),
        ([old, new], [old]),
        ([old, new], [new, old]),
        ([new], [new, old]),
        ([new], [new]),
    ]
    return [Step(tmp_path / str(number), *each) for number, each in enumerate(at_each)]


async def test_each_replica_knows_those_of_the_step_before_and_after(steps: list[Step]) -> None:
    for step, following in pairwise(steps):
        for caller, called in ((step, following), (following, step)):
            assert (await called.verifier.caller(caller.tokens.issue())).id == "payment"


def test_what_was_sealed_a_step_before_or_after_is_read(steps: list[Step]) -> None:
    for step, following in pairwise(steps):
        for by, to in ((step, following), (following, step)):
            assert to.opener.open(by.sealer.seal("tok", "payment 1"), "payment 1") == "tok"


async def test_the_old_key_is_good_for_nothing_once_it_is_no_longer_published(steps: list[Step]) -> None:
    with pytest.raises(Unauthenticated):
        await steps[-1].verifier.caller(steps[0].tokens.issue())
