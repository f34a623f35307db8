"""Every statement on the journal, and the part by which others write it together with what it records.

A line's amount is positive where the account is debited and negative where it is credited; the lines of a transaction
sum to zero, which the database checks at the commit. Nothing in the journal is ever changed: what is undone is posted
again the other way round.
"""

_POSTED = """
    posted AS (
        INSERT INTO journal_transactions (kind, source_id, clinic_id, provider, currency)
        SELECT kind, source_id, clinic_id, provider, currency FROM recorded RETURNING id, kind, source_id
    )
    INSERT INTO journal_lines (transaction_id, account, amount)
    SELECT posted.id, line.account, line.amount FROM posted JOIN recorded USING (kind, source_id)
    CROSS JOIN LATERAL (VALUES {lines}) AS line (account, amount) WHERE line.amount <> 0
"""


def posted(**lines: str) -> str:
    """The end of a statement that posts what its CTE `recorded` holds: an amount, as SQL, for each account.

    `recorded` gives kind, source_id, clinic_id, provider and currency of each transaction; once a kind and source.
    """
    return _POSTED.format(lines=", ".join(f"('{account}', {amount})" for account, amount in lines.items()))


ENTRY_POSTED = posted(
    customer_liability="total_amount", platform_revenue="-platform_fee", clinic_payable="-clinic_amount",
    tax_payable="-tax_amount",
)  # fmt: skip
"""The customer's money is shared out: of it platform, clinic and tax office have their parts, or give them back."""
