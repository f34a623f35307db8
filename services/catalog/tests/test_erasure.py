"""People who were erased: ratings stay, their words and their work do not."""

import pytest

from petpro.catalog.v1 import catalog_pb2 as pb
from petpro_catalog.consumer import HANDLERS
from petpro_catalog.erasure import forget
from petpro_common.messaging.consumer import Unprocessable
from petpro_common.personal.erasure import forget_again, keep_forgetting
from petpro_common.testing import eventually, running
from services.catalog.tests.people import Catalog, Person, mask
from services.catalog.tests.test_reviews import review


async def erased(catalog: Catalog, person: Person) -> None:
    """What the consumer does with the event."""
    async with catalog.database.transaction() as tx:
        await HANDLERS["user.erased"](tx, {"event_type": "user.erased", "user_id": str(person.id), "version": 3})


async def reviews_of(catalog: Catalog, clinic_id: str) -> list[tuple[int, str]]:
    listed = await catalog.api.ListReviews(pb.ListReviewsRequest(clinic_id=clinic_id))
    return sorted((each.rating, each.comment) for each in listed.reviews)


async def test_comments_go_ratings_count_on_and_what_comes_late_goes_too(catalog: Catalog) -> None:
    service = await catalog.offered(await catalog.approved())
    first, late = catalog.book(service), catalog.book(service)
    await review(catalog, catalog.sari, first, 2, "Miko took fright")

    await erased(catalog, catalog.sari)
    assert await reviews_of(catalog, service.clinic_id) == [(2, "")]
    await review(catalog, catalog.sari, late, 5, "Miko purrs")
    await forget_again(catalog.database, forget)

    assert await reviews_of(catalog, service.clinic_id) == [(2, ""), (5, "")]
    found = (await catalog.api.GetClinic(pb.GetClinicRequest(clinic_id=service.clinic_id))).clinic
    assert (found.review_count, found.average_rating) == (2, 3.5)


async def test_who_worked_at_a_clinic_acts_for_it_no_more_and_it_is_told_once(catalog: Catalog) -> None:
    clinic = await catalog.approved()
    sari = str(catalog.sari.id)
    hers = await catalog.employed(clinic, name="Sari Dewi", email="sari@example.com", phone="+62811", user_id=sari)
    other = await catalog.employed(clinic, name="Budi Santoso")
    for _ in range(2):
        await erased(catalog, catalog.sari)

    listed = await catalog.api.ListStaff(pb.ListStaffRequest(clinic_id=clinic.id), metadata=catalog.wayan.headers)
    assert {(each.name, each.email, each.phone, each.user_id) for each in listed.staff} == {
        ("Erased", f"{hers.id}@erased.invalid", "", ""),
        (other.name, other.email, other.phone, ""),
    }
    told = [event for event in await catalog.events("staff.changed") if event["version"] == 2]
    assert [event["user_id"] for event in told] == [None]

    edit = pb.UpdateStaffRequest(staff_id=hers.id, staff=pb.Staff(name="drh. Putri"), update_mask=mask("name"))
    edited = await catalog.api.UpdateStaff(edit, metadata=catalog.wayan.headers)
    assert (edited.staff.name, edited.staff.role) == ("drh. Putri", hers.role)


async def test_a_service_looks_again_as_soon_as_it_has_heard_of_an_erasure(catalog: Catalog) -> None:
    looks = 0

    async def look() -> None:
        nonlocal looks
        looks += 1

    async def looked(times: int) -> bool:
        return looks == times

    async with running(keep_forgetting(catalog.database, forget, look)):
        await eventually(lambda: looked(1))
        await erased(catalog, catalog.sari)
        await eventually(lambda: looked(2))


async def test_an_event_that_does_not_say_who_is_set_aside(catalog: Catalog) -> None:
    for event in ({"user_id": "Sari"}, {"user_id": None}, {}):
        with pytest.raises(Unprocessable):
            async with catalog.database.transaction() as tx:
                await HANDLERS["user.erased"](tx, event)
