"""Administrators take a review from the public and give it back: ratings follow, it is kept, and nobody else may."""

import asyncio
from typing import Any
from uuid import uuid4

import grpc
import pytest
from grpc import aio
from psycopg import errors
from sqlalchemy import text

from petpro.catalog.v1 import catalog_pb2 as pb
from petpro.catalog.v1 import operations_pb2 as ops
from petpro_common.context import Role
from services.catalog.tests.people import Catalog, Headers, reason
from services.catalog.tests.test_reviews import review

WHY = "names a person, ticket 47"


async def two_reviews(catalog: Catalog) -> tuple[pb.Review, pb.Review]:
    """Sari gives her clinic 1, another customer 4."""
    service = await catalog.offered(await catalog.approved())
    another = catalog.person("another customer", Role.CUSTOMER)
    return (
        await review(catalog, catalog.sari, catalog.book(service), 1, "drh. Wayan is a crook"),
        await review(catalog, another, catalog.book(service, another), 4, "Fine"),
    )


async def unpublish(catalog: Catalog, review_id: str, **more: Any) -> pb.Review:
    request = ops.UnpublishReviewRequest(review_id=review_id, reason=WHY, **more)
    return (await catalog.operations.UnpublishReview(request, metadata=catalog.admin.headers)).review


async def publish(catalog: Catalog, review_id: str, **more: Any) -> pb.Review:
    request = ops.PublishReviewRequest(review_id=review_id, reason="was right", **more)
    return (await catalog.operations.PublishReview(request, metadata=catalog.admin.headers)).review


async def listed(catalog: Catalog, clinic_id: str, headers: Headers = (), *, unpublished: bool = False) -> list[str]:
    request = pb.ListReviewsRequest(clinic_id=clinic_id, unpublished=unpublished)
    return [each.id for each in (await catalog.api.ListReviews(request, metadata=headers)).reviews]


async def rating(catalog: Catalog, clinic_id: str) -> tuple[float, int]:
    clinic = (await catalog.api.GetClinic(pb.GetClinicRequest(clinic_id=clinic_id))).clinic
    return clinic.average_rating, clinic.review_count


async def kept(catalog: Catalog) -> list[tuple[str, str, str]]:
    async with catalog.database.transaction() as tx:
        rows = await tx.execute(text("SELECT operator, verb, reason FROM review_operations ORDER BY id"))
        return [(row.operator, row.verb, row.reason) for row in rows]


async def test_a_review_is_taken_from_the_public_and_given_back_and_the_rating_follows(catalog: Catalog) -> None:
    bad, good = await two_reviews(catalog)
    assert (bad.is_published, await rating(catalog, bad.clinic_id)) == (True, (2.5, 2))

    taken = await unpublish(catalog, bad.id)
    assert (taken.is_published, taken.comment) == (False, bad.comment)
    assert await listed(catalog, bad.clinic_id) == [good.id]
    assert await rating(catalog, bad.clinic_id) == (4.0, 1)

    assert (await publish(catalog, bad.id)) == bad
    assert await listed(catalog, bad.clinic_id) == [good.id, bad.id]
    assert await rating(catalog, bad.clinic_id) == (2.5, 2)
    operator = str(catalog.admin.id)
    assert await kept(catalog) == [(operator, "unpublish", WHY), (operator, "publish", "was right")]
    told = await catalog.events("review.changed")
    assert [(event["review_id"], event["rating"], event["is_published"]) for event in told] == [
        (bad.id, 1, False),
        (bad.id, 1, True),
    ]


async def test_its_author_and_the_clinic_still_see_it_and_nobody_else(catalog: Catalog) -> None:
    bad, _ = await two_reviews(catalog)
    nurse = catalog.person("a nurse", Role.CUSTOMER)
    await catalog.employed(pb.Clinic(id=bad.clinic_id), user_id=str(nurse.id))
    await unpublish(catalog, bad.id)

    asked = pb.GetReviewRequest(booking_id=bad.booking_id)
    insiders = (catalog.wayan.headers, nurse.headers, catalog.admin.headers, catalog.booking_service)
    for headers in (catalog.sari.headers, *insiders):
        found = (await catalog.api.GetReview(asked, metadata=headers)).review
        assert (found.id, found.comment, found.is_published) == (bad.id, bad.comment, False)
    strangers = (catalog.dewi.headers, catalog.person("another customer", Role.CUSTOMER).headers)
    for headers in strangers:
        with pytest.raises(aio.AioRpcError) as refused:
            await catalog.api.GetReview(asked, metadata=headers)
        assert reason(refused.value) == "REVIEW_NOT_FOUND"

    for headers in insiders:
        assert await listed(catalog, bad.clinic_id, headers, unpublished=True) == [bad.id]
    for headers in ((), catalog.sari.headers, *strangers):
        with pytest.raises(aio.AioRpcError) as forbidden:
            await listed(catalog, bad.clinic_id, headers, unpublished=True)
        assert forbidden.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_a_booking_without_a_review_has_none_to_be_seen(catalog: Catalog) -> None:
    booking_id = catalog.book(await catalog.offered(await catalog.approved()))
    with pytest.raises(aio.AioRpcError) as refused:
        await catalog.api.GetReview(pb.GetReviewRequest(booking_id=booking_id), metadata=catalog.sari.headers)
    assert reason(refused.value) == "REVIEW_NOT_FOUND"


async def test_foreseen_it_changes_nothing_and_is_not_kept(catalog: Catalog) -> None:
    bad, good = await two_reviews(catalog)
    assert not (await unpublish(catalog, bad.id, dry_run=True)).is_published
    assert await listed(catalog, bad.clinic_id) == [good.id, bad.id]
    assert (await kept(catalog), await catalog.events("review.changed")) == ([], [])


async def test_done_again_it_changes_nothing_and_is_kept_again_and_a_call_sent_twice_counts_once(
    catalog: Catalog,
) -> None:
    bad, _ = await two_reviews(catalog)
    for request_id in ("once", "once", "anew"):
        await unpublish(catalog, bad.id, request_id=request_id)
    assert len(await kept(catalog)) == 2
    assert len(await catalog.events("review.changed")) == 1
    assert await rating(catalog, bad.clinic_id) == (4.0, 1)


async def test_of_many_who_decide_at_once_the_rating_counts_what_is_public_in_the_end(catalog: Catalog) -> None:
    bad, good = await two_reviews(catalog)
    acts = [act(catalog, each.id) for each in (bad, good) for act in (unpublish, publish) for _ in range(3)]
    await asyncio.gather(*acts)
    public = await listed(catalog, bad.clinic_id)
    _, count = await rating(catalog, bad.clinic_id)
    assert count == len(public)
    last: dict[str, bool] = {
        event["review_id"]: event["is_published"] for event in await catalog.events("review.changed")
    }
    assert {review_id for review_id, is_published in last.items() if is_published} == set(public)


async def test_only_administrators_may_and_only_with_a_reason(catalog: Catalog) -> None:
    bad, _ = await two_reviews(catalog)
    calls: list[tuple[Any, Any]] = [
        (catalog.operations.UnpublishReview, ops.UnpublishReviewRequest),
        (catalog.operations.PublishReview, ops.PublishReviewRequest),
    ]
    for call, request in calls:
        for headers in (catalog.wayan.headers, catalog.sari.headers, catalog.booking_service):
            with pytest.raises(aio.AioRpcError) as refused:
                await call(request(review_id=bad.id, reason=WHY), metadata=headers)
            assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
        with pytest.raises(aio.AioRpcError) as unreasoned:
            await call(request(review_id=bad.id), metadata=catalog.admin.headers)
        assert unreasoned.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        with pytest.raises(aio.AioRpcError) as unknown:
            await call(request(review_id=str(uuid4()), reason=WHY), metadata=catalog.admin.headers)
        assert reason(unknown.value) == "REVIEW_NOT_FOUND"
    assert await kept(catalog) == []


@pytest.mark.parametrize("change", ["UPDATE review_operations SET reason = ''", "DELETE FROM review_operations"])
async def test_nobody_changes_what_was_kept(catalog: Catalog, change: str) -> None:
    bad, _ = await two_reviews(catalog)
    await unpublish(catalog, bad.id)
    with pytest.raises(Exception, match="only added to") as refused:
        async with catalog.database.transaction() as tx:
            await tx.execute(text(change))
    assert isinstance(getattr(refused.value, "orig", refused.value), errors.RestrictViolation)
