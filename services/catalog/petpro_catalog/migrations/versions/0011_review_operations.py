"""What administrators did about reviews, and why; and those that they took from the public, by clinic.

Reviews cannot be written while the index is made.
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

OPERATIONS = """
CREATE TABLE review_operations (
    id UUID PRIMARY KEY DEFAULT uuidv7(),
    at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    operator TEXT NOT NULL,
    verb VARCHAR(30) NOT NULL,
    review_id UUID NOT NULL,
    user_id UUID NOT NULL,
    reason TEXT NOT NULL,

    CONSTRAINT valid_verb CHECK (verb IN ('unpublish', 'publish')),
    CONSTRAINT fk_review FOREIGN KEY (review_id) REFERENCES reviews (id) ON DELETE RESTRICT
);
CREATE INDEX idx_review_operations_user ON review_operations (user_id);
CREATE FUNCTION keep_what_was_done() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what was done about reviews is only added to' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER keep_operation BEFORE UPDATE OR DELETE OR TRUNCATE ON review_operations
    FOR EACH STATEMENT EXECUTE FUNCTION keep_what_was_done();
"""


def upgrade() -> None:
    op.execute(OPERATIONS)
    op.execute("CREATE INDEX idx_reviews_unpublished ON reviews (clinic_id, id) WHERE NOT is_published")
