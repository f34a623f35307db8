"""A deterministic simulator of sagas and messages: the real code over a played database, broker and clock.

What runs is the shipped code: core, engine, timer, outbox, inbox, participant, relay, and a consumer's handling of
batches. What is played is below it: `statements` answers every SQL statement of that code, `server` is the broker, and
`schedule` decides by one seed what happens next. Code pauses before and after each commit, publish, mark and ack; at
each pause anything else may happen, also the end of its process, and then everything that had not committed is gone.

    python -m libs.common.tests.simulator --schedules 1000 [--seed 7]

Limits: transactions are carried out one after the other (races inside PostgreSQL are tested on PostgreSQL), a service
is one process at a time, messages do not grow too old, and a backup of the broker's store is never older than the last
time it forgot.
"""
