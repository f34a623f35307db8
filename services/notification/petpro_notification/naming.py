"""Names that were not known when a person was told: asked of the catalog before the mail leaves."""

from dataclasses import replace

import structlog
from grpc import aio

from petpro_common.db import Database
from petpro_notification import store
from petpro_notification.directory import Directory
from petpro_notification.domain import OWN_WORDS
from petpro_notification.notifications import about
from petpro_notification.store import Due, Names
from petpro_notification.wording import Wording, Words

_log = structlog.get_logger()


class Naming:
    """Completes notifications with names of clinics and services."""

    def __init__(self, database: Database, directory: Directory, wording: Wording) -> None:
        self._database = database
        self._directory = directory
        self._wording = wording

    async def complete(self, due: Due) -> tuple[Words, Names]:
        """What a delivery says and the names behind it. Names learned on the way also better the words in the app;
        a catalog that is away holds no mail up."""
        if not self._lacks_something(due, due.names) or not await self._ask(due, due.names):
            return Words(due.title, due.content), due.names
        async with self._database.transaction() as tx:
            (known,) = await store.known_of(tx, [(None, *about(due.facts))])
            words = self._wording.words(due.type, due.facts, known.names)
            store.set_words(tx, due.notification_id, words.title, words.content)
        return words, known.names

    def to_anybody(self, due: Due, names: Names) -> tuple[Words, Names]:
        """What a delivery says and what is known behind it, without a word that anybody chose: whoever gave a
        stranger's address may own the clinic too, and call it and its services what they like."""
        unnamed = replace(names, clinic=None, service=None)
        return self._wording.words(due.type, {**due.facts, **dict.fromkeys(OWN_WORDS)}, unnamed), unnamed

    def _lacks_something(self, due: Due, names: Names) -> bool:
        clinic_id, service_id = about(due.facts)
        return bool((clinic_id and names.clinic is None) or (service_id and names.service is None))

    async def _ask(self, due: Due, names: Names) -> bool:
        """Whether something new was learned."""
        clinic_id, service_id = about(due.facts)
        try:
            offer = await self._directory.offer(service_id) if service_id and names.service is None else None
            at = clinic_id or (offer.clinic_id if offer else None)
            clinic = await self._directory.clinic(at) if at and names.clinic is None else None
        except aio.AioRpcError as fault:
            _log.warning("catalog is away; a name is left out", code=fault.code().name)
            return False
        async with self._database.transaction() as tx:
            if clinic:
                store.keep_clinic(tx, clinic)
            if offer:
                store.keep_offer(tx, offer)
        return bool(clinic or offer)
