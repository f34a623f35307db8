"""Pictures that a review shows: addresses that apps may open, and no others."""

import pytest
from grpc import aio
from sqlalchemy import text

from petpro.catalog.v1 import catalog_pb2 as pb
from services.catalog.tests.people import Catalog, broken_fields
from services.catalog.tests.test_erasure import erased

PICTURES = ["https://photos.petpro.example/b.jpg", "https://photos.petpro.example/a.jpg?size=2"]


async def review(catalog: Catalog, attachments: list[str]) -> pb.Review:
    booking_id = catalog.book(await catalog.offered(await catalog.approved()))
    request = pb.CreateReviewRequest(booking_id=booking_id, rating=4, attachments=attachments)
    return (await catalog.api.CreateReview(request, metadata=catalog.sari.headers)).review


async def test_pictures_are_shown_in_their_authors_order(catalog: Catalog) -> None:
    written = await review(catalog, PICTURES)
    assert list(written.attachments) == PICTURES
    (listed,) = (await catalog.api.ListReviews(pb.ListReviewsRequest(clinic_id=written.clinic_id))).reviews
    assert listed == written


@pytest.mark.parametrize(
    "wrong",
    [
        ["http://photos.petpro.example/a.jpg"],
        ["javascript:alert(1)"],
        ["https://somebody@photos.petpro.example/a.jpg"],
        ["https://photos.petpro.example/a b.jpg"],
        ["https://photos.petpro.example/\x00"],
        ["https://photos.petpro.example/á.jpg"],
        [""],
        [PICTURES[0], PICTURES[0]],
        [f"https://photos.petpro.example/{number}.jpg" for number in range(11)],
        [f"https://photos.petpro.example/{'x' * 230}"],
    ],
)
async def test_what_is_no_address_to_open_is_refused(catalog: Catalog, wrong: list[str]) -> None:
    with pytest.raises(aio.AioRpcError) as refused:
        await review(catalog, wrong)
    assert broken_fields(refused.value) == {"attachments"}


async def test_a_review_of_the_release_before_shows_none(catalog: Catalog) -> None:
    written = await review(catalog, PICTURES)
    async with catalog.database.transaction() as tx:
        await tx.execute(text("UPDATE reviews SET attachments = DEFAULT"))
    (listed,) = (await catalog.api.ListReviews(pb.ListReviewsRequest(clinic_id=written.clinic_id))).reviews
    assert list(listed.attachments) == []


async def test_pictures_go_when_their_author_is_erased(catalog: Catalog) -> None:
    written = await review(catalog, PICTURES)
    await erased(catalog, catalog.sari)
    (listed,) = (await catalog.api.ListReviews(pb.ListReviewsRequest(clinic_id=written.clinic_id))).reviews
    assert (listed.rating, list(listed.attachments)) == (4, [])
