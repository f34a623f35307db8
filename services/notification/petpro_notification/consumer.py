"""Messages in: what people are to be told, what clinics and services are called now, and who was erased."""

from collections.abc import Sequence

from petpro_common.db import Database, Transaction
from petpro_common.messaging.broker import Broker
from petpro_common.messaging.consumer import Consumer
from petpro_common.messaging.events import Event, Handler, event_consumer
from petpro_common.personal.erasure import erased
from petpro_common.together import Together
from petpro_notification import messages, notifications, store, store_personal
from petpro_notification.notifications import Courier
from petpro_notification.wording import Wording


def consumer(database: Database, broker: Broker, wording: Wording, couriers: Sequence[Courier]) -> Consumer:
    """The consumer of every event that this service hears."""

    async def tell(tx: Transaction, events: Sequence[tuple[str, Event]]) -> None:
        await notifications.tell(tx, wording, [messages.notification_request(*event) for event in events], couriers)

    telling = dict.fromkeys(messages.TELLING, Together(tell))
    others: dict[str, Handler] = {
        "clinic.changed": on_clinic_changed,
        "service.changed": on_service_changed,
        "user.erased": on_user_erased,
    }
    return event_consumer(database, broker, {**telling, **others})


async def on_user_erased(tx: Transaction, event: Event) -> None:
    """Forgets them, and ends their streams wherever these are."""
    await erased(store_personal.forget)(tx, event)
    tx.tell(notifications.TOLD, [event["user_id"]])


async def on_clinic_changed(tx: Transaction, event: Event) -> None:
    store.keep_clinic(tx, messages.clinic(event))


async def on_service_changed(tx: Transaction, event: Event) -> None:
    store.keep_offer(tx, messages.offer(event))
