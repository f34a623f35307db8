"""The platform that all tests share, as one test uses it."""

from collections.abc import AsyncIterator

import pytest

from devstack.running import RunningStack
from tests import invariants
from tests.world import World, open_world


@pytest.fixture
async def world(stack: RunningStack) -> AsyncIterator[World]:
    """Whatever the test does, its clinics must be in order at the end."""
    async with open_world(stack) as opened:
        yield opened
        await invariants.hold(opened)
