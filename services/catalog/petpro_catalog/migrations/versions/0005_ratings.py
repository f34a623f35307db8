"""What a clinic's published reviews come to is kept with it: each look at it, and each search, would read them all.

A trigger counts, so the release before goes on as it is. Reviews cannot be written while they are counted here.
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

COLUMNS = """
ALTER TABLE clinics
    ADD COLUMN review_count BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN rating_sum BIGINT NOT NULL DEFAULT 0
"""

TRIGGER = """
CREATE FUNCTION count_reviews() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' AND OLD.is_published THEN
        UPDATE clinics SET review_count = review_count - 1, rating_sum = rating_sum - OLD.rating
        WHERE id = OLD.clinic_id;
    END IF;
    IF TG_OP <> 'DELETE' AND NEW.is_published THEN
        UPDATE clinics SET review_count = review_count + 1, rating_sum = rating_sum + NEW.rating
        WHERE id = NEW.clinic_id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER count_reviews AFTER INSERT OR DELETE OR UPDATE OF clinic_id, rating, is_published ON reviews
    FOR EACH ROW EXECUTE FUNCTION count_reviews();
"""

FIRST_COUNT = """
UPDATE clinics SET review_count = counted.review_count, rating_sum = counted.rating_sum
FROM (SELECT clinic_id, count(*) AS review_count, sum(rating) AS rating_sum FROM reviews WHERE is_published
      GROUP BY clinic_id) AS counted
WHERE clinics.id = counted.clinic_id
"""


def upgrade() -> None:
    op.execute(COLUMNS)
    op.execute(TRIGGER)
    op.execute(FIRST_COUNT)
