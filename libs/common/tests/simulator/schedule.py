"""One schedule: what happens next is decided by the seed, and by nothing else."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias, cast

from libs.common.tests.simulator import invariants
from libs.common.tests.simulator.playing import played
from libs.common.tests.simulator.services import Booking, Process
from libs.common.tests.simulator.stage import Stage, Task
from libs.common.tests.simulator.tables import due
from libs.common.tests.simulator.trouble import make_trouble

_MOST_STEPS = 6_000
_LAST_SECOND = 3_000.0
Act: TypeAlias = tuple[str, Callable[[], None]]


@dataclass(frozen=True)
class Report:
    """What came of a schedule."""

    seed: int
    violations: list[str]
    trace: list[str]
    sagas: int
    faults: int


class Schedule(Stage):
    """Two services, a broker, some sagas, and trouble."""

    def run(self) -> Report:
        """Plays the schedule to its rest, and looks at what is left."""
        with played(self.clock, self.dice):
            steps = 0
            while steps < _MOST_STEPS and self.clock.seconds < _LAST_SECOND and self._step():
                steps += 1
            for task in list(self.tasks):
                self.end(task)
        found = self.too_early + invariants.violations(self.tables["booking"], self.tables["payment"], self.server)
        if steps == _MOST_STEPS or self.clock.seconds >= _LAST_SECOND:
            found.insert(0, f"no rest after {steps} steps and {self.clock.seconds:.0f} seconds")
        return Report(self.seed, found, self.trace, len(self.tables["booking"].sagas), self.faults)

    def _step(self) -> bool:
        """One thing happens; False when nothing is left to happen."""
        if self.server.is_bad(self.server.weather.trouble):
            make_trouble(self)
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
                acts.append((f"{name} starts", partial(self.boot, name)))
        for task in self.tasks:
            if self._wakes_at(task) <= now:
                acts += [(f"{task.owner} {task.name}", partial(self.resume, task))]
        for process in self.up.values():
            acts += self._deliveries(process, now)
            acts += self._decisions(process, now)
            if isinstance(process, Booking):
                acts += self._customers(process)
        return acts

    def _act(self, process: Process, name: str, make: Callable[[], Coroutine[Any, Any, None]]) -> Act:
        owner = process.client.service
        return f"{owner} {name}", lambda: self.begin(owner, name, make())

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
