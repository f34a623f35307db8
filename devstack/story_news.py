"""The scenes in which people hear what became of their bookings: in their open app, in its list, and by e-mail."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from devstack.api import Json
from devstack.story_scenes import Person
from devstack.story_stage import PATIENCE_SECONDS, Stage, StoryWentWrong
from petpro_common.tasks import end


@asynccontextmanager
async def listening(person: Person, booking: Json, kind: str) -> AsyncIterator["asyncio.Task[Json]"]:
    """What the person's open app hears of a booking by itself, beside the block: the notification of this kind."""
    async with person.api.events("/v1/notifications:stream") as events:
        await anext(events)  # it has begun

        async def hear() -> Json:
            async for event in events:
                told: Json = event.get("notification", {})
                if (told.get("type"), told.get("booking_id")) == (kind, booking["id"]):
                    return told
            raise StoryWentWrong(f"The stream of notifications ended before it told of {kind}.")

        hearing = asyncio.create_task(hear())
        try:
            yield hearing
            await asyncio.wait([hearing], timeout=PATIENCE_SECONDS)
            if not hearing.done():
                raise StoryWentWrong(f"Waited {PATIENCE_SECONDS:.0f} s for the app to hear of {kind}.")
        finally:
            await end([hearing])


async def show_what_people_heard(stage: Stage, person: Person, booking: Json, kinds: set[str]) -> None:
    """Notifications about the booking in the app, once all of these kinds have come; and their mails."""

    async def told() -> list[Json] | None:
        found = await _told(person, booking)
        return found if kinds <= {each["type"] for each in found} else None

    notifications = await stage.until(f"notifications about {', '.join(sorted(kinds))}", told)
    stage.told.step(f"In the app {person.name} was told")
    stage.told.table(("", ""), [(each["type"].replace("_", " "), each["title"]) for each in notifications])
    titles = [each["title"] for each in notifications]

    async def mailed() -> list[str] | None:
        mails = stage.mails_to(person.email)[-len(titles) :]
        return mails if sorted(mails) == sorted(titles) else None

    mails = await stage.until(f"{len(notifications)} mails to {person.email}", mailed)
    stage.told.step(f"and by e-mail, to {person.email}")
    stage.told.table(("",), [(subject,) for subject in mails])


async def _told(person: Person, booking: Json) -> list[Json]:
    found: list[Json] = (await person.api.get("/v1/notifications", page_size=50))["notifications"]
    return [each for each in reversed(found) if each["booking_id"] == booking["id"]]
