"""Two services, a broker, and their running code, which may fail and be killed wherever it pauses."""

import contextvars
from collections.abc import Coroutine
from dataclasses import dataclass, field
from random import Random
from typing import Any

from nats.errors import Error as NatsError
from psycopg import Error as DatabaseError
from psycopg import OperationalError

from libs.common.tests.simulator.pauses import Clock, Pause
from libs.common.tests.simulator.sagas import BY_TYPE
from libs.common.tests.simulator.server import Server, Weather
from libs.common.tests.simulator.services import Booking, Payment, Process, Work, make_plans, new_tables
from libs.common.tests.simulator.tables import Counter

_KINDS: dict[str, type[Process]] = {"booking": Booking, "payment": Payment}


@dataclass
class Task:
    """A piece of running code, where it stands, and when it may go on."""

    name: str
    owner: str
    code: Coroutine[Pause, None, None]
    pause: Pause | None = None
    wakes_at: float = 0.0
    context: contextvars.Context = field(default_factory=contextvars.copy_context)


@dataclass(frozen=True)
class Wanted:
    """A saga that a customer asks for until it is there."""

    saga_type: str
    key: str
    data: dict[str, Any]


class Stage:
    """What a schedule is played on. The processes in `up` are running; `trace` tells what has happened."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.dice = Random(seed)
        self.clock = Clock()
        self.order = Counter()
        self.server = Server(self.clock, self.dice, self._weather())
        self.tables = new_tables(self.clock, self.order)
        self.work = Work(self.clock, {})
        self.wanted = [self._wanted(number) for number in range(self.dice.randint(1, 3))]
        self.up: dict[str, Process] = {}
        self.up_at = {"booking": 0.0, "payment": 0.0}
        self.tasks: list[Task] = []
        self.trace: list[str] = []
        self.faults = 0
        self.too_early: list[str] = []
        self.server.on_ack = self._on_ack

    def _weather(self) -> Weather:
        def chance(most: float) -> float:
            return self.dice.random() * most if self.dice.random() < 0.6 else 0.0

        return Weather(
            lost=chance(0.4),
            ack_lost=chance(0.4),
            doubled=chance(0.5),
            shuffled=chance(1.0),
            killed=chance(0.06),
            database_fault=chance(0.1),
            trouble=chance(0.04),
            delay=self.dice.choice([0.05, 0.3, 2.0, 5.0]),
        )

    def _wanted(self, number: int) -> Wanted:
        saga = BY_TYPE[self.dice.choice(sorted(BY_TYPE))]
        key = f"{saga.type}:{number}"
        self.work.plans.update(make_plans(key, saga, self.dice))
        data = {
            "key": key,
            "secret": "s",
            "needs_approval": self.dice.random() < 0.4,
            "is_paid": self.dice.random() < 0.8,
        }
        return Wanted(saga.type, key, data)

    def boot(self, name: str) -> None:
        self.up[name] = _KINDS[name](name, self.tables[name], self.server, self.work)
        self.begin(name, "relay", self.up[name].relay.run())

    def begin(self, owner: str, name: str, code: Coroutine[Any, Any, None]) -> None:
        task = Task(name, owner, code)
        self.tasks.append(task)
        self.resume(task)

    def resume(self, task: Task, fault: Exception | None = None) -> None:
        """Lets code go on to its next pause, where its process may die and its database may fail."""
        try:
            pause = task.context.run(task.code.throw, fault) if fault else task.context.run(task.code.send, None)
        except StopIteration:
            self.tasks.remove(task)
            return
        except (NatsError, DatabaseError, OSError):
            self.tasks.remove(task)  # as the lane, the timer and the client do: it comes again
            return
        task.pause, task.wakes_at = pause, self.clock.seconds + pause.seconds
        if self.server.is_bad(self.server.weather.killed):
            self._kill(task.owner, f"{task.name} {pause.place}")
        elif "commit" in pause.place and self.server.is_bad(self.server.weather.database_fault):
            self.note(f"database fails {task.owner} {task.name} {pause.place}")
            self.resume(task, OperationalError(pause.place))
        elif pause.is_in_transaction:
            self.resume(task)

    def _kill(self, owner: str, place: str) -> None:
        self.note(f"{owner} is killed in: {place}")
        for task in [task for task in self.tasks if task.owner == owner]:
            self.end(task)
        self.up.pop(owner, None)
        self.up_at[owner] = self.clock.seconds + self.dice.choice([0.5, 5.0, 60.0])

    def end(self, task: Task) -> None:
        task.context.run(task.code.close)
        self.tasks.remove(task)

    def _on_ack(self, stream: str, message_id: str) -> None:
        """A message may be acknowledged once its effects have committed, or it is set aside."""
        tables = self.tables["payment" if stream == Payment.stream else "booking"]
        claim = message_id.rpartition(":")[0] if stream == Payment.stream else message_id
        if claim not in tables.inbox and message_id not in tables.parked:
            self.too_early.append(f"{message_id} was acknowledged before its effects had committed")

    def note(self, fault: str) -> None:
        self.faults += 1
        self.trace.append(f"{self.clock.seconds:8.2f} ! {fault}")
