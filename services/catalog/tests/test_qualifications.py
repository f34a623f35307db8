"""What staff have learned: the clinic writes it, everybody reads it, and it goes with the person."""

from typing import Any

import pytest
from grpc import aio
from sqlalchemy import text

from petpro.catalog.v1 import catalog_pb2 as pb
from services.catalog.tests.people import Catalog, broken_fields, mask
from services.catalog.tests.test_erasure import erased

LEARNED = ["Sarjana Kedokteran Hewan, UGM", "Licence 12/2019", "Dental surgery"]


async def listed(catalog: Catalog, clinic_id: str) -> list[str]:
    (member,) = (await catalog.api.ListStaff(pb.ListStaffRequest(clinic_id=clinic_id))).staff
    return list(member.qualifications)


async def edited(catalog: Catalog, member: pb.Staff, edit: pb.Staff, *paths: str) -> list[str]:
    request = pb.UpdateStaffRequest(staff_id=member.id, staff=edit, update_mask=mask(*paths))
    return list((await catalog.api.UpdateStaff(request, metadata=catalog.wayan.headers)).staff.qualifications)


async def test_qualifications_are_kept_in_the_order_in_which_they_were_written_for_everybody(catalog: Catalog) -> None:
    clinic = await catalog.approved()
    member = await catalog.employed(clinic, qualifications=[f" {LEARNED[0]} ", *LEARNED[1:]])
    assert list(member.qualifications) == LEARNED
    assert await listed(catalog, clinic.id) == LEARNED
    (event,) = await catalog.events("staff.changed")
    assert "qualifications" not in event


async def test_an_edit_changes_them_as_a_whole_and_only_where_it_is_about_them(catalog: Catalog) -> None:
    member = await catalog.employed(await catalog.approved(), qualifications=LEARNED)
    assert await edited(catalog, member, pb.Staff(name="drh. Putu")) == LEARNED
    assert await edited(catalog, member, pb.Staff(qualifications=["One"], phone="+62 21 555 0199"), "phone") == LEARNED
    assert await edited(catalog, member, pb.Staff(qualifications=LEARNED[:1])) == LEARNED[:1]
    assert await edited(catalog, member, pb.Staff(), "qualifications") == []


BROKEN: list[list[str]] = [[" "], ["a\nb"], ["x" * 101], ["x"] * 31]


@pytest.mark.parametrize("wrong", BROKEN)
async def test_what_breaks_a_rule_is_refused_and_named(catalog: Catalog, wrong: list[str]) -> None:
    clinic = await catalog.approved()
    member: dict[str, Any] = {"qualifications": wrong}
    with pytest.raises(aio.AioRpcError) as refused:
        await catalog.employed(clinic, **member)
    assert broken_fields(refused.value) == {"staff.qualifications"}


async def test_an_entry_of_the_release_before_has_none_and_its_edits_take_none_away(catalog: Catalog) -> None:
    clinic = await catalog.approved()
    await catalog.employed(clinic, qualifications=LEARNED)
    async with catalog.database.transaction() as tx:
        await tx.execute(text("UPDATE staff SET name = 'drh. Ayu', version = version + 1"))
        await tx.execute(
            text(
                "INSERT INTO staff (clinic_id, name, email, role) SELECT clinic_id, 'drh. Zed', email, role FROM staff"
            )
        )
    staff = (await catalog.api.ListStaff(pb.ListStaffRequest(clinic_id=clinic.id))).staff
    assert [(member.name, list(member.qualifications)) for member in staff] == [("drh. Ayu", LEARNED), ("drh. Zed", [])]


async def test_they_go_when_the_person_is_erased(catalog: Catalog) -> None:
    clinic = await catalog.approved()
    await catalog.employed(clinic, qualifications=LEARNED, user_id=str(catalog.sari.id))
    await erased(catalog, catalog.sari)
    assert await listed(catalog, clinic.id) == []
