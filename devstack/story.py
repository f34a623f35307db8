"""The main story, played through the gateway and told as a transcript."""

from devstack.stack import Stack


async def play(stack: Stack) -> None:
    """Play the stories on a running stack and print them."""
    print(f"The gateway listens at {stack.endpoints['gateway_url']}")
