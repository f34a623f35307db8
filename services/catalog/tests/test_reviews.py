"""Reviews: one for each completed booking, by its customer, and nobody else."""

import asyncio
import importlib
from uuid import UUID

import grpc
import pytest
from grpc import aio
from sqlalchemy import delete, text

from petpro.catalog.v1 import catalog_pb2 as pb
from petpro_catalog import tables
from petpro_catalog.consumer import booking_completed
from petpro_common.context import Role
from petpro_common.messaging.consumer import Unprocessable
from services.catalog.tests.people import Catalog, Person, mask, reason

FIRST_COUNT = importlib.import_module("petpro_catalog.migrations.versions.0005_ratings").FIRST_COUNT


async def review(catalog: Catalog, person: Person, booking_id: str, rating: int = 5, comment: str = "") -> pb.Review:
    request = pb.CreateReviewRequest(booking_id=booking_id, rating=rating, comment=comment)
    return (await catalog.api.CreateReview(request, metadata=person.headers)).review


async def test_a_customer_reviews_a_completed_booking(catalog: Catalog) -> None:
    service = await catalog.offered(await catalog.approved())
    booking_id = catalog.book(service)

    written = await review(catalog, catalog.sari, booking_id, 4, "Dokternya ramah")

    assert (written.booking_id, written.service_id, written.clinic_id) == (booking_id, service.id, service.clinic_id)
    assert (written.rating, written.comment, written.is_verified) == (4, "Dokternya ramah", True)
    listed = await catalog.api.ListReviews(pb.ListReviewsRequest(clinic_id=service.clinic_id))
    assert list(listed.reviews) == [written]
    assert await catalog.events("review.created") == [
        {
            "event_type": "review.created",
            "review_id": written.id,
            "booking_id": booking_id,
            "clinic_id": service.clinic_id,
            "rating": 4,
        }
    ]


async def test_a_booking_that_is_not_completed_cannot_be_reviewed(catalog: Catalog) -> None:
    service = await catalog.offered(await catalog.approved())
    for status in ("CONFIRMED", "IN_PROGRESS", "CANCELLED", "NO_SHOW"):
        with pytest.raises(aio.AioRpcError) as refused:
            await review(catalog, catalog.sari, catalog.book(service, status=status))
        assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert reason(refused.value) == "BOOKING_NOT_REVIEWABLE"


async def test_somebody_elses_booking_and_one_that_is_not_there_are_refused_alike(catalog: Catalog) -> None:
    service = await catalog.offered(await catalog.approved())
    unknown = catalog.book(service)
    del catalog.played.bookings[unknown]
    refusals = [(catalog.sari, unknown)]
    refusals += [(person, catalog.book(service)) for person in (catalog.wayan, catalog.dewi, catalog.admin)]
    for person, booking_id in refusals:
        with pytest.raises(aio.AioRpcError) as refused:
            await review(catalog, person, booking_id)
        assert reason(refused.value) == "BOOKING_NOT_REVIEWABLE"
    assert await catalog.events("review.created") == []


async def test_owner_and_staff_do_not_review_their_own_clinic(catalog: Catalog) -> None:
    clinic = await catalog.approved()
    service = await catalog.offered(clinic)
    member = await catalog.employed(clinic, user_id=str(catalog.sari.id))
    for person in (catalog.wayan, catalog.sari):
        with pytest.raises(aio.AioRpcError) as refused:
            await review(catalog, person, catalog.book(service, person))
        assert reason(refused.value) == "BOOKING_NOT_REVIEWABLE"

    await asyncio.sleep(0.01)
    await stand(catalog, member, "")
    assert (await review(catalog, catalog.sari, catalog.book(service))).rating == 5
    assert (await review(catalog, catalog.dewi, catalog.book(service, catalog.dewi))).rating == 5


@pytest.mark.parametrize("by", ["a new entry", "an edit"])
async def test_who_is_called_staff_after_they_booked_reviews_the_clinic_all_the_same(catalog: Catalog, by: str) -> None:
    clinic = await catalog.approved()
    service = await catalog.offered(clinic)
    nobody = await catalog.employed(clinic)
    booking_id = catalog.book(service)
    await asyncio.sleep(0.01)  # the id tells its instant to the millisecond
    if by == "an edit":
        edit = pb.UpdateStaffRequest(staff_id=nobody.id, staff=pb.Staff(user_id=str(catalog.sari.id)))
        await catalog.api.UpdateStaff(edit, metadata=catalog.wayan.headers)
    else:
        await catalog.employed(clinic, user_id=str(catalog.sari.id))
    assert (await review(catalog, catalog.sari, booking_id, 1)).rating == 1

    later = catalog.book(service)
    rename = pb.UpdateStaffRequest(staff_id=nobody.id, staff=pb.Staff(name="drh. Sari"))
    await catalog.api.UpdateStaff(rename, metadata=catalog.wayan.headers)
    with pytest.raises(aio.AioRpcError) as refused:
        await review(catalog, catalog.sari, later)
    assert reason(refused.value) == "BOOKING_NOT_REVIEWABLE"


@pytest.mark.parametrize("then", ["left", "left and came back", "came back to another entry", "the entry was deleted"])
async def test_what_somebody_booked_as_staff_they_never_review(catalog: Catalog, then: str) -> None:
    clinic = await catalog.approved()
    service = await catalog.offered(clinic)
    member = await catalog.employed(clinic, user_id=str(catalog.sari.id))
    booking_id = catalog.book(service)
    await asyncio.sleep(0.01)
    await stand(catalog, member, "")
    between = catalog.book(service)
    await asyncio.sleep(0.01)
    if then == "left and came back":
        await stand(catalog, member, str(catalog.sari.id))
    elif then == "came back to another entry":
        await catalog.employed(clinic, user_id=str(catalog.sari.id))
    elif then == "the entry was deleted":
        async with catalog.database.transaction() as tx:
            await tx.execute(delete(tables.staff).where(tables.staff.c.id == UUID(member.id)))

    with pytest.raises(aio.AioRpcError) as refused:
        await review(catalog, catalog.sari, booking_id)
    assert reason(refused.value) == "BOOKING_NOT_REVIEWABLE"
    assert (await review(catalog, catalog.sari, between)).rating == 5


async def stand(catalog: Catalog, member: pb.Staff, user_id: str) -> None:
    """Puts an account into a staff entry."""
    edit = pb.UpdateStaffRequest(staff_id=member.id, staff=pb.Staff(user_id=user_id), update_mask=mask("user_id"))
    await catalog.api.UpdateStaff(edit, metadata=catalog.wayan.headers)


async def test_of_many_reviews_of_one_booking_at_once_one_is_kept(catalog: Catalog) -> None:
    service = await catalog.offered(await catalog.approved())
    booking_id = catalog.book(service)
    attempts = await asyncio.gather(
        *(review(catalog, catalog.sari, booking_id, rating) for rating in (1, 2, 3, 4, 5)), return_exceptions=True
    )
    refused = [reason(attempt) for attempt in attempts if isinstance(attempt, aio.AioRpcError)]
    assert refused == ["ALREADY_REVIEWED"] * 4
    assert len(await catalog.events("review.created")) == 1


async def test_the_same_review_request_twice_gets_the_same_reply(catalog: Catalog) -> None:
    service = await catalog.offered(await catalog.approved())
    request = pb.CreateReviewRequest(booking_id=catalog.book(service), rating=5, request_id="review-1")
    first = await catalog.api.CreateReview(request, metadata=catalog.sari.headers)
    assert await catalog.api.CreateReview(request, metadata=catalog.sari.headers) == first


async def test_booking_is_not_asked_for_what_its_event_has_told(catalog: Catalog) -> None:
    service = await catalog.offered(await catalog.approved())
    booking_id = catalog.book(service)
    event = {
        "event_type": "booking.completed",
        "booking_id": booking_id,
        "user_id": str(catalog.sari.id),
        "clinic_id": service.clinic_id,
        "service_id": service.id,
        "completed_at": "2026-03-02T03:30:00+00:00",
    }
    for _ in range(2):
        async with catalog.database.transaction() as tx:
            await booking_completed(tx, event)
    await review(catalog, catalog.sari, booking_id)
    assert catalog.played.asked == 0


async def test_an_event_that_says_too_little_is_set_aside(catalog: Catalog) -> None:
    async with catalog.database.transaction() as tx:
        with pytest.raises(Unprocessable):
            await booking_completed(tx, {"event_type": "booking.completed", "booking_id": "x"})


async def test_a_rating_is_from_one_to_five(catalog: Catalog) -> None:
    service = await catalog.offered(await catalog.approved())
    for rating in (0, 6, -1):
        with pytest.raises(aio.AioRpcError) as refused:
            await review(catalog, catalog.sari, catalog.book(service), rating)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_reviews_come_newest_first_in_pages_and_make_the_clinics_rating(catalog: Catalog) -> None:
    service = await catalog.offered(await catalog.approved())
    written = []
    for number, rating in enumerate((5, 4, 4)):
        person = catalog.person(f"customer {number}", Role.CUSTOMER)
        written.append(await review(catalog, person, catalog.book(service, person), rating))
    first = await catalog.api.ListReviews(pb.ListReviewsRequest(clinic_id=service.clinic_id, page_size=2))
    rest = await catalog.api.ListReviews(
        pb.ListReviewsRequest(clinic_id=service.clinic_id, page_size=2, page_token=first.next_page_token)
    )
    assert [*first.reviews, *rest.reviews] == written[::-1]
    assert rest.next_page_token == ""
    clinic = (await catalog.api.GetClinic(pb.GetClinicRequest(clinic_id=service.clinic_id))).clinic
    assert (clinic.average_rating, clinic.review_count) == (4.33, 3)


async def test_only_published_reviews_make_the_rating_also_of_those_there_before_it_was_kept(catalog: Catalog) -> None:
    service = await catalog.offered(await catalog.approved())
    another = catalog.person("another customer", Role.CUSTOMER)
    withdrawn = await review(catalog, catalog.sari, catalog.book(service), 5)
    kept = await review(catalog, another, catalog.book(service, another), 2)
    async with catalog.database.transaction() as tx:
        await tx.execute(text("UPDATE reviews SET is_published = false WHERE id = :id"), {"id": UUID(withdrawn.id)})
        await tx.execute(text("UPDATE reviews SET rating = 3 WHERE id = :id"), {"id": UUID(kept.id)})
    asked = pb.GetClinicRequest(clinic_id=service.clinic_id)
    counted = (await catalog.api.GetClinic(asked)).clinic
    assert (counted.average_rating, counted.review_count) == (3.0, 1)
    async with catalog.database.transaction() as tx:
        await tx.execute(text("UPDATE clinics SET review_count = 0, rating_sum = 0"))
        await tx.execute(text(FIRST_COUNT))
    assert (await catalog.api.GetClinic(asked)).clinic == counted


async def test_a_clinic_without_reviews_has_no_rating(catalog: Catalog) -> None:
    clinic = await catalog.approved()
    assert not clinic.HasField("average_rating")
    assert clinic.review_count == 0


async def test_a_service_writes_no_reviews(catalog: Catalog) -> None:
    service = await catalog.offered(await catalog.approved())
    request = pb.CreateReviewRequest(booking_id=catalog.book(service), rating=5)
    with pytest.raises(aio.AioRpcError) as refused:
        await catalog.api.CreateReview(request, metadata=catalog.booking_service)
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
