"""What is done with staff. Every change is told to the other services as staff.changed."""

from collections.abc import Callable, Sequence
from uuid import UUID

from petpro_catalog import clinics, events, rules, store_personal, store_staff
from petpro_catalog.domain import ClinicNotFound, StaffDetails, StaffMember, StaffNotFound
from petpro_common.context import Caller
from petpro_common.db import Transaction
from petpro_common.ids import new_id
from petpro_common.messaging import outbox


async def add(tx: Transaction, clinic_id: UUID, caller: Caller, details: StaffDetails) -> StaffMember:
    """Adds somebody to a clinic. Raises ClinicNotFound, Forbidden and InvalidRequest."""
    await clinics.editable(tx, clinic_id, caller)
    rules.check_staff(details)
    return _announced(tx, await store_staff.add_member(tx, new_id(), clinic_id, details))


async def member(tx: Transaction, staff_id: UUID, *, lock: bool = False) -> StaffMember:
    """A member of staff. Raises StaffNotFound."""
    found = await store_staff.member(tx, staff_id, lock=lock)
    if found is None:
        raise StaffNotFound
    return found


async def edit(
    tx: Transaction, staff_id: UUID, caller: Caller, change: Callable[[StaffMember], StaffDetails]
) -> StaffMember:
    """Edits a member of staff by `change`. Raises StaffNotFound, Forbidden and InvalidRequest."""
    found = await member(tx, staff_id, lock=True)
    try:
        await clinics.editable(tx, found.clinic_id, caller)
    except ClinicNotFound:
        raise StaffNotFound from None
    details = change(found)
    if details == found.details:
        return found
    rules.check_staff(details)
    return _announced(tx, await store_staff.edit_member(tx, staff_id, details))


async def forget(tx: Transaction, user_ids: Sequence[UUID]) -> None:
    """Makes the entries of people anonymous who were erased; they act for no clinic any more, and never did."""
    for found in await store_personal.forget_staff(tx, user_ids):
        _announced(tx, found)
    store_personal.forget_accounts(tx, user_ids)


def _announced(tx: Transaction, found: StaffMember) -> StaffMember:
    outbox.add_event(tx, "catalog", "staff.changed", found.id, events.staff_changed(found))
    return found
