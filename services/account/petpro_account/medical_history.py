"""What an owner tells of a pet's health: from the contract to what `pets.medical_history` holds, and back.

The domain document gives the column no shape. It has that of the contract, without what is empty:

    {"allergies": ["penicillin"], "vaccinations": [{"name": "rabies", "given_on": "2026-03-14"}]}
"""

from collections.abc import Mapping
from datetime import date
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict

from petpro.account.v1.account_pb2 import MedicalHistory, Vaccination
from petpro_account.domain import filled, text

_ENTRY_LIMIT, _NOTES_LIMIT = 100, 2000


def read(told: MedicalHistory) -> dict[str, Any]:
    """What the column holds. Raises ValueError with what is wrong."""
    clean = MedicalHistory(
        conditions=[filled(entry, _ENTRY_LIMIT) for entry in told.conditions],
        allergies=[filled(entry, _ENTRY_LIMIT) for entry in told.allergies],
        medications=[filled(entry, _ENTRY_LIMIT) for entry in told.medications],
        vaccinations=[_vaccination(entry) for entry in told.vaccinations],
        notes="\n".join(text(line, _NOTES_LIMIT) for line in told.notes.strip().split("\n")),
    )
    return MessageToDict(clean, preserving_proto_field_name=True)


def message(kept: Mapping[str, Any]) -> MedicalHistory | None:
    """What the contract tells; None where nothing was told."""
    return ParseDict(dict(kept), MedicalHistory(), ignore_unknown_fields=True) if kept else None


def _vaccination(told: Vaccination) -> Vaccination:
    return Vaccination(name=filled(told.name, _ENTRY_LIMIT), given_on=_date(told.given_on), due_on=_date(told.due_on))


def _date(told: str) -> str:
    try:
        return date.fromisoformat(told).isoformat() if told else ""
    except ValueError:
        raise ValueError("must have dates such as 2021-03-14") from None
