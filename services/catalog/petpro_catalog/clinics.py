"""What is done with clinics. Every change is told to the other services as clinic.changed."""

from collections.abc import Callable
from decimal import Decimal
from uuid import UUID

from petpro_catalog import events, rules, store_clinics
from petpro_catalog.domain import (
    USUAL_COMMISSION,
    Clinic,
    ClinicDetails,
    ClinicNotFound,
    ClinicStatus,
    check_can_become,
    check_editable,
    check_reachable,
    check_timezone,
    check_visible,
)
from petpro_common.context import Caller, Role
from petpro_common.db import Transaction
from petpro_common.errors import Forbidden
from petpro_common.ids import new_id
from petpro_common.messaging import outbox


def viewer(caller: Caller | None) -> UUID | None:
    """The person who looks; None for strangers and services."""
    return caller.user_id if caller and caller.role is not Role.SERVICE else None


def check_may_apply(caller: Caller, owner: UUID) -> None:
    """Raises Forbidden unless the caller applies for themselves with a clinic's account, or is an administrator."""
    if not (caller.is_admin or (caller.role is Role.CLINIC and caller.user_id == owner)):
        raise Forbidden


async def apply_for(tx: Transaction, caller: Caller, owner: UUID, details: ClinicDetails) -> Clinic:
    """A new clinic of `owner`, pending. Raises Forbidden and InvalidRequest."""
    check_may_apply(caller, owner)
    _check_commission(caller, USUAL_COMMISSION, details)
    rules.check_clinic(details)
    clinic_id = new_id()
    store_clinics.add_clinic(tx, clinic_id, owner, details)
    return await _announced(tx, clinic_id, caller)


async def visible(tx: Transaction, clinic_id: UUID, caller: Caller | None) -> Clinic:
    """A clinic as the caller may see it. Raises ClinicNotFound."""
    return check_visible(await store_clinics.clinic(tx, clinic_id, viewer(caller)), caller)


async def reachable(tx: Transaction, clinic_id: UUID, caller: Caller | None) -> Clinic:
    """A clinic whose id the caller has, perhaps from a booking. Raises ClinicNotFound."""
    return check_reachable(await store_clinics.clinic(tx, clinic_id, viewer(caller)), caller)


async def editable(tx: Transaction, clinic_id: UUID, caller: Caller, *, lock: bool = False) -> Clinic:
    """A clinic that the caller may edit. Raises ClinicNotFound or Forbidden."""
    return check_editable(await store_clinics.clinic(tx, clinic_id, viewer(caller), lock=lock), caller)


async def edit(tx: Transaction, clinic_id: UUID, caller: Caller, change: Callable[[Clinic], ClinicDetails]) -> Clinic:
    """Edits a clinic by `change`. What comes out as it was is left alone, and so is a policy that did not change.

    Raises ClinicNotFound, Forbidden, InvalidRequest or ClinicTimezoneFixed.
    """
    clinic = await editable(tx, clinic_id, caller, lock=True)
    details = change(clinic)
    if details == clinic.details:
        return clinic
    _check_commission(caller, clinic.details.commission_rate, details)
    rules.check_clinic(details)
    check_timezone(clinic, details.timezone)
    policy_version = clinic.policy_version
    if details.cancellation_policy != clinic.details.cancellation_policy:
        policy_version += 1
        store_clinics.add_policy(tx, clinic_id, policy_version, details.cancellation_policy)
    store_clinics.edit_clinic(tx, clinic_id, details, policy_version)
    return await _announced(tx, clinic_id, caller)


async def decide(tx: Transaction, clinic_id: UUID, administrator: Caller, status: ClinicStatus) -> Clinic:
    """Approves, rejects or suspends a clinic. Raises ClinicNotFound or WrongClinicStatus."""
    clinic = await store_clinics.clinic(tx, clinic_id, None, lock=True)
    if clinic is None:
        raise ClinicNotFound
    check_can_become(clinic.status, status)
    store_clinics.set_status(tx, clinic_id, status)
    return await _announced(tx, clinic_id, administrator)


def _check_commission(caller: Caller, current: Decimal, wanted: ClinicDetails) -> None:
    if wanted.commission_rate != current and not caller.is_admin:
        raise Forbidden


async def _announced(tx: Transaction, clinic_id: UUID, caller: Caller) -> Clinic:
    clinic = await store_clinics.clinic(tx, clinic_id, viewer(caller))
    if clinic is None:
        raise ClinicNotFound
    outbox.add_event(tx, "catalog", "clinic.changed", clinic_id, events.clinic_changed(clinic))
    return clinic
