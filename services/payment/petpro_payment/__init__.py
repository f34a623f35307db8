"""Payments, their refunds and the clinics' ledger.

Invariants:

1. No outcome is guessed. What a provider did is known only from its own answer, its signed webhook or its own list;
   until then the payment or refund is asked about again, under the same idempotency key.
2. A payment is taken at most once: its id is the provider's idempotency key and reference.
3. refund_reserved + refund_done <= captured, held by the database under the payment's row lock.
4. Money that arrives for a payment which was called off, timed out or failed goes back in full, without a person.
5. A ledger entry balances to the cent, never changes its amounts, and refunds of a booking sum to its fee exactly.

    TakePayment --tx--> payments row --worker, outside of any transaction--> provider
                                                                                |
                 sagas' answer + events <--tx-- what was learned <--------------+---- webhook, polling
"""
