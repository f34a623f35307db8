"""The sample data of the dev stack."""

from devstack.stack import Stack


async def load(stack: Stack) -> None:
    """Load the sample data."""
