"""Registering, reading and editing a person."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from petpro.account.v1 import account_pb2
from petpro_account import email_verifications, fields, messages, store
from petpro_account.contacts import email_address, phone_number
from petpro_account.domain import EmailTaken, User, UserNotFound, filled
from petpro_account.fields import Readers
from petpro_common.context import Role
from petpro_common.db import Transaction
from petpro_common.masks import to_edit

_CHANNELS = ("email", "push", "sms")
_PREFS = "notification_prefs"
_NAME_LIMIT = 255

_REGISTRATION: Readers = {
    "email": lambda request: email_address(request.email),
    "full_name": lambda request: filled(request.full_name, _NAME_LIMIT),
    "phone_number": lambda request: phone_number(request.phone_number),
    "role": lambda request: messages.registered_role(request.role),
}


def _all_channels(user: account_pb2.User) -> dict[str, bool]:
    return {channel: getattr(user.notification_prefs, channel) for channel in _CHANNELS}


EDITABLE: Readers = {
    "full_name": lambda user: filled(user.full_name, _NAME_LIMIT),
    "phone_number": lambda user: phone_number(user.phone_number),
    _PREFS: _all_channels,
    f"{_PREFS}.email": lambda user: user.notification_prefs.email,
    f"{_PREFS}.push": lambda user: user.notification_prefs.push,
    f"{_PREFS}.sms": lambda user: user.notification_prefs.sms,
}


def read_registration(request: account_pb2.CreateUserRequest) -> dict[str, Any]:
    """The columns of a new user but the password. Raises InvalidRequest."""
    return fields.read(request, _REGISTRATION, list(_REGISTRATION))


async def register(tx: Transaction, columns: dict[str, Any], password_hash: str) -> User:
    """Makes a user, and has a mail sent to the address. Raises EmailTaken when it is in use in any spelling."""
    user = await store.add_user(tx, {**columns, "password_hash": password_hash})
    if user is None:
        raise EmailTaken
    messages.tell_registered(tx, user)
    await email_verifications.begin(tx, user)
    return user


async def make_administrator(tx: Transaction, email: str, password_hash: str) -> Role | None:
    """Makes an administrator with this address unless somebody has it; the role of whoever has it now."""
    columns = {"email": email_address(email), "full_name": "Administrator", "phone_number": "", "role": Role.ADMIN}
    user = await store.add_user(tx, {**columns, "password_hash": password_hash})
    if user is None:
        return await store.role_at_address(tx, columns["email"])
    messages.tell_registered(tx, user)
    return user.role


async def get(tx: Transaction, user_id: UUID) -> User:
    """The user. Raises UserNotFound, also for one who was erased."""
    user = await store.user(tx, user_id)
    if user is None:
        raise UserNotFound
    return user


def read_edit(user: account_pb2.User, mask: Sequence[str]) -> dict[str, Any]:
    """What an edit changes, by path. Raises InvalidRequest."""
    return fields.read(user, EDITABLE, to_edit(user, mask, EDITABLE), "user.")


async def edit(tx: Transaction, user_id: UUID, changes: dict[str, Any]) -> User:
    """Changes a profile; an edit that names nothing changes nothing. Raises UserNotFound."""
    if not changes:
        return await get(tx, user_id)
    columns = {path: value for path, value in changes.items() if not path.startswith(_PREFS)}
    single = {
        path.removeprefix(f"{_PREFS}."): value for path, value in changes.items() if path.startswith(f"{_PREFS}.")
    }
    user = await store.edit_user(tx, user_id, columns, {**changes.get(_PREFS, {}), **single})
    if user is None:
        raise UserNotFound
    messages.tell_user_changed(tx, user)
    return user
