"""One schedule: what happens next is decided by the seed, and by nothing else."""

import contextvars
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any, TypeAlias, cast
from uuid import UUID

from nats.errors import Error as NatsError
from psycopg import Error as DatabaseError
from psycopg import OperationalError

from libs.common.tests.simulator import invariants
from libs.common.tests.simulator.pauses import Clock, Pause
from libs.common.tests.simulator.playing import played
from libs.common.tests.simulator.sagas import BY_TYPE
from libs.common.tests.simulator.server import Server, Weather
from libs.common.tests.simulator.services import Booking, Payment, Process, Work, make_plans, new_tables
from libs.common.tests.simulator.tables import Counter, due
from petpro.saga.v1 import saga_pb2
from petpro_common.messaging.subjects import REPLIES, reply_subject

_MOST_STEPS = 6_000
_LAST_SECOND = 3_000.0
Act: TypeAlias = tuple[str, Callable[[], None]]
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
class Report:
    """What came of a schedule."""

    seed: int
    violations: list[str]
    trace: list[str]
    sagas: int
    faults: int


@dataclass(frozen=True)
class Wanted:
    """A saga that a customer asks for until it is there."""

    saga_type: str
    key: str
    data: dict[str, Any]


class Schedule:
    """Two services, a broker, some sagas, and trouble."""

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

    def run(self) -> Report:
        """Plays the schedule to its rest, and looks at what is left."""
        with played(self.clock, self.dice):
            steps = 0
            while steps < _MOST_STEPS and self.clock.seconds < _LAST_SECOND and self._step():
                steps += 1
            for task in list(self.tasks):
                self._end(task)
        found = self.too_early + invariants.violations(self.tables["booking"], self.tables["payment"], self.server)
        if steps == _MOST_STEPS or self.clock.seconds >= _LAST_SECOND:
            found.insert(0, f"no rest after {steps} steps and {self.clock.seconds:.0f} seconds")
        return Report(self.seed, found, self.trace, len(self.tables["booking"].sagas), self.faults)

    def _step(self) -> bool:
        """One thing happens; False when nothing is left to happen."""
        if self.server.is_bad(self.server.weather.trouble):
            self._trouble()
        ready = self._ready()
        if ready:
            self.clock.seconds += self.dice.random() * 0.1
            name, act = self.dice.choice(ready)
            self.trace.append(f"{self.clock.seconds:8.2f} {name}")
            act()
            return True
        moments = [moment for moment in self._moments() if moment > self.clock.seconds]
        self.clock.seconds = min(moments, default=self.clock.seconds)
        return bool(moments)

    def _ready(self) -> list[Act]:
        """All that could happen now."""
        now = self.clock.seconds
        acts: list[Act] = []
        for name, at in self.up_at.items():
            if name not in self.up and at <= now:
                acts.append((f"{name} starts", partial(self._boot, name)))
        for task in self.tasks:
            if self._wakes_at(task) <= now:
                acts += [(f"{task.owner} {task.name}", partial(self._resume, task))]
        for process in self.up.values():
            acts += self._deliveries(process, now)
            acts += self._decisions(process, now)
            if isinstance(process, Booking):
                acts += self._customers(process)
        return acts

    def _act(self, process: Process, name: str, make: Callable[[], Coroutine[Any, Any, None]]) -> Act:
        owner = process.client.service
        return f"{owner} {name}", lambda: self._begin(owner, name, make())

    def _deliveries(self, process: Process, now: float) -> list[Act]:
        """Some of the messages that are at hand, one of each key."""
        visible = [message for message in self.server.waiting(process.stream) if message.visible_at <= now]
        if not visible:
            return []
        if self.server.is_bad(self.server.weather.shuffled):
            self.dice.shuffle(visible)
        batch = {process.consumer._key_of(cast(Any, message)): message for message in reversed(visible)}
        chosen = sorted(batch.values(), key=visible.index)[: self.dice.randint(1, len(batch))]

        def handle() -> Coroutine[Any, Any, None]:
            return process.handle([self.server.hand_out(process.stream, message) for message in chosen])

        return [self._act(process, f"handles {', '.join(message.message_id for message in chosen)}", handle)]

    def _decisions(self, process: Process, now: float) -> list[Act]:
        due_now = [each for each in process.tables.decisions.values() if not each.is_made and each.due_at <= now]
        return [
            self._act(process, f"decides {decision.step}", partial(process.make_decision, decision))
            for decision in due_now
        ]

    def _customers(self, booking: Booking) -> list[Act]:
        acts = [
            self._act(
                booking, f"starts {wanted.key}", partial(booking.start, wanted.saga_type, wanted.key, wanted.data)
            )
            for wanted in self.wanted
            if wanted.key not in booking.tables.keys
        ]
        if any(row.due_at <= self.clock.now() for row in due(booking.tables)[:1]):
            acts.append(self._act(booking, "times a saga out", booking.time_out))
        return acts

    def _moments(self) -> list[float]:
        """When something becomes possible."""
        moments = [self._wakes_at(task) for task in self.tasks]
        moments += [at for name, at in self.up_at.items() if name not in self.up]
        for process in self.up.values():
            moments += [message.visible_at for message in self.server.waiting(process.stream)]
            moments += [decision.due_at for decision in process.tables.decisions.values() if not decision.is_made]
        moments += [self.clock.seconds_of(row.due_at) + 1e-6 for row in due(self.tables["booking"])[:1]]
        return [moment for moment in moments if moment != float("inf")]

    def _wakes_at(self, task: Task) -> float:
        """An idle relay polls: that is played only where it would find something."""
        if task.pause is None or task.pause.woken is None:
            return task.wakes_at
        process = self.up[task.owner]
        if task.pause.woken.is_set() or process.tables.unpublished():
            return task.wakes_at
        return task.wakes_at + 5.1 if process.client.checked_epoch != self.server.epoch else float("inf")

    def _boot(self, name: str) -> None:
        self.up[name] = _KINDS[name](name, self.tables[name], self.server, self.work)
        self._begin(name, "relay", self.up[name].relay.run())

    def _begin(self, owner: str, name: str, code: Coroutine[Any, Any, None]) -> None:
        task = Task(name, owner, code)
        self.tasks.append(task)
        self._resume(task)

    def _resume(self, task: Task, fault: Exception | None = None) -> None:
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
            self._note(f"database fails {task.owner} {task.name} {pause.place}")
            self._resume(task, OperationalError(pause.place))
        elif pause.is_in_transaction:
            self._resume(task)

    def _kill(self, owner: str, place: str) -> None:
        self._note(f"{owner} is killed in: {place}")
        for task in [task for task in self.tasks if task.owner == owner]:
            self._end(task)
        self.up.pop(owner, None)
        self.up_at[owner] = self.clock.seconds + self.dice.choice([0.5, 5.0, 60.0])

    def _end(self, task: Task) -> None:
        task.context.run(task.code.close)
        self.tasks.remove(task)

    def _on_ack(self, stream: str, message_id: str) -> None:
        """A message may be acknowledged once its effects have committed, or it is set aside."""
        tables = self.tables["payment" if stream == Payment.stream else "booking"]
        claim = message_id.rpartition(":")[0] if stream == Payment.stream else message_id
        if claim not in tables.inbox and message_id not in tables.parked:
            self.too_early.append(f"{message_id} was acknowledged before its effects had committed")

    def _note(self, fault: str) -> None:
        self.faults += 1
        self.trace.append(f"{self.clock.seconds:8.2f} ! {fault}")

    def _trouble(self) -> None:
        """Something that nobody asked for."""
        trouble = self.dice.choice(
            [
                self._forget,
                self._lose,
                self._delete,
                self._backup,
                self._wait,
                self._stray,
                self._contradict,
                self._again,
                self._drop,
            ]
        )
        self._note(trouble.__name__.removeprefix("_"))
        trouble()

    def _forget(self) -> None:
        self.server.forget()

    def _lose(self) -> None:
        self.server.lose()

    def _delete(self) -> None:
        self.server.delete()

    def _drop(self) -> None:
        self.server.drop()

    def _backup(self) -> None:
        self.server.copy()

    def _wait(self) -> None:
        self.clock.seconds += self.dice.expovariate(1 / 10)

    def _again(self) -> None:
        """A customer asks for the same saga again."""
        wanted = self.dice.choice(self.wanted)
        booking = self.up.get("booking")
        if isinstance(booking, Booking):
            self._begin(
                "booking", f"starts {wanted.key} again", booking.start(wanted.saga_type, wanted.key, wanted.data)
            )

    def _contradict(self) -> None:
        payment = self.up.get("payment")
        made = [decision for decision in self.tables["payment"].decisions.values() if decision.is_made]
        if made and isinstance(payment, Payment):
            self._begin("payment", "contradicts itself", payment.contradict(self.dice.choice(made)))

    def _stray(self) -> None:
        """A reply to an attempt that was never made."""
        running = [row for row in self.tables["booking"].sagas.values() if row.due_at]
        if not running or REPLIES not in self.server.streams:
            return
        row = self.dice.choice(running)
        reply = saga_pb2.Reply(
            command_id="stray",
            saga_id=str(row.id),
            step=row.step,
            direction=saga_pb2.DIRECTION_FORWARD if row.direction == "forward" else saga_pb2.DIRECTION_BACKWARD,
            attempt=self.dice.choice([0, row.attempt + 50]),
            outcome=self.dice.choice([saga_pb2.OUTCOME_SUCCEEDED, saga_pb2.OUTCOME_REFUSED]),
            reason="STRAY",
        )
        headers = {"Nats-Msg-Id": str(UUID(int=self.dice.getrandbits(128)))}
        self.server.take(reply_subject(row.saga_type), reply.SerializeToString(), headers)
