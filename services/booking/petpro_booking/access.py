"""Who may act for a clinic, by the copies of what catalog says."""

from uuid import UUID

from petpro_booking import store_projections
from petpro_common.context import Caller, Role
from petpro_common.db import Transaction


async def acts_for_clinic(tx: Transaction, caller: Caller, clinic_id: UUID) -> bool:
    """Whether the caller owns the clinic, works there, or is an administrator. A service acts for nobody."""
    if caller.role is Role.SERVICE:
        return False
    return caller.is_admin or await store_projections.is_of_clinic(tx, caller.user_id, clinic_id)


async def sees_clinic(tx: Transaction, caller: Caller, clinic_id: UUID) -> bool:
    """Whether the caller may read what the clinic may read: those who act for it, and services."""
    return caller.is_trusted or await acts_for_clinic(tx, caller, clinic_id)
