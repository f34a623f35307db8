"""What is counted as it happens; what waits is in `waiting`."""

from prometheus_client import Counter

MANUAL_REFUNDS = Counter("petpro_refunds_manual_total", "Refunds that a person has to bring to an end")
QUARANTINED = Counter(
    "petpro_payments_quarantined_total",
    "Payments for which a provider took another amount than was ordered, or took back what it had captured",
)
UNKNOWN_OUTCOMES = Counter(
    "petpro_provider_unknown_outcomes_total", "Calls to a provider after which nobody knew what it did", ["provider"]
)
