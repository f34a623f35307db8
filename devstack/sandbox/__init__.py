"""A payment provider to play against: a process of its own, whose word outlives a crash like a real one's.

Read in this order: `behaviours` (the test values), `objects` (what exists), `payments` and `refunds` (what
happens to them), `webhooks` (how the outside learns of it), `store` (every SQL statement), `app` (HTTP).
The API is described in `README.md`. It imports nothing of PetPro and knows nothing of bookings.
"""
