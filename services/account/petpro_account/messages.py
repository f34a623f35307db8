"""Rows to protobuf, and the events that account publishes. Events hold ids, never personal data."""

from uuid import UUID

from petpro.account.v1 import account_pb2
from petpro_account import medical_history
from petpro_account.domain import ACCESS_TOKEN_LIFE, Pet, User
from petpro_common.context import Role
from petpro_common.db import Transaction
from petpro_common.instants import timestamp
from petpro_common.messaging.outbox import add_event

_SERVICE = "account"
_ROLES = {role: account_pb2.Role.Value(f"ROLE_{role.name}") for role in (Role.CUSTOMER, Role.CLINIC, Role.ADMIN)}
_GENDERS = {gender: account_pb2.Gender.Value(f"GENDER_{gender.upper()}") for gender in ("male", "female", "unknown")}


def user_message(user: User) -> account_pb2.User:
    prefs = user.notification_prefs
    return account_pb2.User(
        id=str(user.id),
        email=user.email,
        full_name=user.full_name,
        phone_number=user.phone_number,
        notification_prefs=account_pb2.NotificationPrefs(email=prefs["email"], push=prefs["push"], sms=prefs["sms"]),
        role=_ROLES[user.role],
        account_status=user.account_status,
        verification_status=user.verification_status,
        created_at=timestamp(user.created_at),
        updated_at=timestamp(user.updated_at),
    )


def pet_message(pet: Pet) -> account_pb2.Pet:
    return account_pb2.Pet(
        id=str(pet.id),
        user_id=str(pet.user_id),
        name=pet.name,
        species=pet.species,
        breed=pet.breed or "",
        birthdate=pet.birthdate.isoformat() if pet.birthdate else "",
        weight="" if pet.weight is None else str(pet.weight),
        gender=_GENDERS[pet.gender] if pet.gender else account_pb2.GENDER_UNSPECIFIED,
        photo_url=pet.photo_url or "",
        microchip_id=pet.microchip_id or "",
        created_at=timestamp(pet.created_at),
        updated_at=timestamp(pet.updated_at),
        medical_history=medical_history.message(pet.medical_history),
    )


def tokens_message(access_token: str, refresh_token: str) -> account_pb2.Tokens:
    return account_pb2.Tokens(
        access_token=access_token,
        refresh_token=refresh_token,
        token_type="Bearer",  # noqa: S106  # the scheme's name, not a secret
        expires_in=int(ACCESS_TOKEN_LIFE.total_seconds()),
    )


def registered_role(value: int) -> Role:
    """The role that a registration asks for; a customer unless it says so. Raises ValueError for an administrator."""
    if value == account_pb2.ROLE_UNSPECIFIED:
        return Role.CUSTOMER
    if value == account_pb2.ROLE_ADMIN:
        raise ValueError("an administrator cannot be registered")
    return role_of(value)


def role_of(value: int) -> Role:
    """The role of one of the contract's numbers."""
    return next(role for role, number in _ROLES.items() if number == value)


def gender_of(value: int) -> str | None:
    """The column's word, None when unspecified. Raises ValueError for a number that the contract does not know."""
    if value == account_pb2.GENDER_UNSPECIFIED:
        return None
    for gender, number in _GENDERS.items():
        if number == value:
            return gender
    raise ValueError("must be one of the values in the contract")


def tell_registered(tx: Transaction, user: User) -> None:
    """user.registered"""
    add_event(tx, _SERVICE, "user.registered", user.id, {"user_id": user.id})


def tell_user_changed(tx: Transaction, user: User) -> None:
    """user.changed"""
    add_event(tx, _SERVICE, "user.changed", user.id, {"user_id": user.id, "version": user.version})


def tell_password_changed(tx: Transaction, user_id: UUID) -> None:
    """user.password_changed: whose it is hears of it, in case that it was somebody else."""
    add_event(tx, _SERVICE, "user.password_changed", user_id, {"user_id": user_id})


def tell_password_reset_requested(tx: Transaction, user_id: UUID, reset_id: UUID) -> None:
    """user.password_reset_requested: a mail is to be sent, for which account makes the token then."""
    fields = {"user_id": user_id, "reset_id": reset_id}
    add_event(tx, _SERVICE, "user.password_reset_requested", user_id, fields)


def tell_email_verification_requested(tx: Transaction, user_id: UUID, verification_id: UUID) -> None:
    """user.email_verification_requested: a mail is to be sent, for which account makes the token then."""
    fields = {"user_id": user_id, "verification_id": verification_id}
    add_event(tx, _SERVICE, "user.email_verification_requested", user_id, fields)


def tell_erased(tx: Transaction, user: User) -> None:
    """user.erased: whoever holds something of them anonymises it."""
    add_event(tx, _SERVICE, "user.erased", user.id, {"user_id": user.id, "version": user.version})


def tell_pet_changed(tx: Transaction, pet: Pet) -> None:
    """pet.changed: also when it is new, and when it is deleted."""
    fields = {"pet_id": pet.id, "user_id": pet.user_id, "is_deleted": pet.deleted_at is not None}
    add_event(tx, _SERVICE, "pet.changed", pet.id, {**fields, "version": pet.version})
