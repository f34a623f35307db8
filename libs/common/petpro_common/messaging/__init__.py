"""Messages between services, over NATS JetStream, that survive anything.

Invariants:

1. A message exists if and only if the change that caused it committed: both are written in one transaction (`outbox`).
2. Postgres is the truth and the broker may forget: what was committed is published until the broker has it, and again
   when the broker turns out to have lost it (`relay`).
3. A message takes effect once: its id is claimed in the transaction of its effects (`inbox`). A command that comes
   again gets its stored reply again (`participant`).
4. Messages of one aggregate are published in the order in which they were committed.
5. A message is acknowledged only after its effects have committed (`consumer`). One that cannot be handled is set aside
   in `parked_messages` and blocks nothing; an administrator has it handled again (`parked`, `servicer`), or gives it
   up, and then it has no effect and is not parked either when it comes again (`discards`).

    use case --tx--> outbox --relay--> JetStream --consumer--> inbox + effects --tx--> outbox ...

Out: `outbox` and how much waits in it (`backlog`), `relay`, which publishes in order (`lanes`) and looks whether the
broker has lost anything (`data_loss`). Between: the connection (`broker`), publishing on it (`publisher`), and what is
sent where (`subjects`). In: the durable consumer (`durable`), from which messages are fetched (`pull`), wait for each
other (`keyed_queue`) and are handled (`consumer`), events by `events`, and commands by `participant`, which answers by
`replies`. `schema` has the tables of all.
"""
