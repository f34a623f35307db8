"""What brings notifications to people by one channel: it writes what one person is told, and hands it over.

A sender is one file; which are there is said by the settings, and `registry` puts them together.
"""

from typing import Any, Protocol

from petpro_notification.directory import Person
from petpro_notification.domain import Channel, Result
from petpro_notification.store import Due, Names
from petpro_notification.wording import Words


class Sender(Protocol):
    """Who sends by one channel. What it composes it alone understands."""

    @property
    def channel(self) -> Channel:
        """The channel whose deliveries are its own."""

    def compose(self, due: Due, words: Words, names: Names, person: Person) -> Any:
        """What the person gets. A second copy, after a crash, can be told as one where the channel knows how."""

    async def send(self, composed: Any, person: Person) -> Result:
        """Hands over what was composed, and says what came of it. OSError and TimeoutError mean: try again."""
