"""Who may act for a clinic, by the copies of what catalog says."""

from uuid import UUID

from petpro_booking import store_projections
from petpro_common.context import Caller, Role
from petpro_common.db import Transaction


async def acts_for_clinic(tx: Transaction, caller: Caller, clinic_id: UUID) -> bool:
    """Whether the caller owns the clinic, works there, or is an administrator. A service acts for nobody."""
    person = person_of(caller)
    is_of_clinic = person and not caller.is_admin and await store_projections.is_of_clinic(tx, person, clinic_id)
    return acts_where(caller, is_of_clinic=bool(is_of_clinic))


def person_of(caller: Caller) -> UUID | None:
    """Whom to look for among a clinic's people; a service is nobody."""
    return None if caller.role is Role.SERVICE else caller.user_id


def acts_where(caller: Caller, *, is_of_clinic: bool) -> bool:
    """What `acts_for_clinic` says, of whom is known whether they own the clinic or are of its staff."""
    return caller.is_admin or is_of_clinic


async def sees_clinic(tx: Transaction, caller: Caller, clinic_id: UUID) -> bool:
    """Whether the caller may read what the clinic may read: those who act for it, and services."""
    return caller.is_trusted or await acts_for_clinic(tx, caller, clinic_id)
