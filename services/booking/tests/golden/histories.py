"""Plays one saga through the core, from signals that are JSON to transitions that are JSON."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias
from uuid import UUID

from google.protobuf.json_format import MessageToDict, ParseDict, ParseError

from petpro_common.errors import WrongState
from petpro_common.saga.core import Transition, aboard, advance, begin, operate
from petpro_common.saga.model import (
    Data,
    Direction,
    Local,
    Order,
    Outcome,
    Remote,
    Reply,
    Saga,
    SagaState,
    Timeout,
)
from petpro_common.saga.operations import Operation, Verb

Json: TypeAlias = dict[str, Any]

FOLDER = Path(__file__).parent
BEGINS: Json = {"signal": "begins"}
_BEGAN = datetime(2026, 11, 23, 12, tzinfo=UTC)
_DOES_NOT_FIT = (WrongState, LookupError, ValueError, TypeError, ParseError)


class Recording:
    """One saga that begins with `data`, and what it has heard and done."""

    def __init__(self, saga: Saga, data: Json) -> None:
        self.saga = saga
        self.data = data
        self.now = _BEGAN
        self.history: list[Json] = []
        self.state = SagaState(UUID(int=1), saga.type, saga.version, "golden", data)

    def hear(self, signal: Json) -> None:
        """Carries a signal out and writes down what came of it. What the core refuses is raised."""
        self.now += timedelta(seconds=signal.get("after_seconds", 0))
        transition = self._transition(signal)
        self.history.append({"hears": signal, **_told(self.saga, self.state.data, transition, self.now)})
        self.state = transition.state

    def _transition(self, signal: Json) -> Transition:
        kind = signal["signal"]
        if kind == "begins":
            return begin(self.saga, self.state, self.now)
        if kind == "operator":
            operation = Operation(Verb(signal["verb"]), "sari", "the provider called")
            return operate(self.saga, self.state, operation, self.now)
        asked = (signal["step"], Direction(signal["direction"]), signal["attempt"])
        if kind == "timed_out":
            return advance(self.saga, self.state, Timeout(*asked), self.now, luck=0.5)
        reply = Reply(*asked, Outcome(kind), signal.get("reason", ""), self._learned(signal))
        return advance(self.saga, self.state, reply, self.now, luck=0.5)

    def _learned(self, signal: Json) -> Data:
        """As the engine does it: a local step says what is learned, of a participant's result the definition does."""
        action = self.saga.step(signal["step"]).do
        if isinstance(action, Remote) and action.result and "result" in signal:
            return action.learned_from(ParseDict(signal["result"], action.result()).SerializeToString())
        return dict(signal.get("learned", {}))

    def written(self) -> str:
        """The file: one line each for what is heard, what becomes of it, what is ordered and what is written."""
        data = ",\n".join(f"    {_line(name)}: {_line(value)}" for name, value in self.data.items())
        history = ",\n".join(_entry(entry) for entry in self.history)
        head = f'  "saga": {_line(self.saga.type)},\n  "version": {self.saga.version}'
        return f'{{\n{head},\n  "data": {{\n{data}\n  }},\n  "history": [\n{history}\n  ]\n}}\n'


def replayed(saga: Saga, golden: Json) -> Recording:
    """What the definition does when it hears a golden history again; where it cannot hear it, the history ends so."""
    recording = Recording(saga, golden["data"])
    for entry in golden["history"]:
        try:
            recording.hear(entry["hears"])
        except _DOES_NOT_FIT as fault:
            recording.history.append({"hears": entry["hears"], "fails": repr(fault)})
            break
    return recording


def golden_files(saga: Saga) -> Iterator[Path]:
    """The histories of one version of a saga."""
    yield from sorted(folder_of(saga).glob("*.json"))


def folder_of(saga: Saga, inside: Path = FOLDER) -> Path:
    """Where the histories of one version lie."""
    return inside / f"{saga.type}-{saga.version}"


def _told(saga: Saga, before: Data, transition: Transition, now: datetime) -> Json:
    state = transition.state
    becomes = {
        "status": state.status.value,
        "step": state.step,
        "direction": state.direction.value,
        "attempt": state.attempt,
        "to_undo": list(state.to_undo),
        "due_in_seconds": (state.due_at - now).total_seconds() if state.due_at else None,
        "changes": _changes(before, state.data),
    }
    return {"becomes": becomes, "orders": _order(saga, state, transition.order), "writes": _timeline(transition)}


def _changes(before: Data, after: Data) -> Json:
    """New values by name; None for what is gone."""
    names = sorted({*before, *after})
    return {name: after.get(name) for name in names if before.get(name) != after.get(name)}


def _order(saga: Saga, state: SagaState, order: Order | None) -> Json | None:
    if order is None:
        return None
    asked = {"step": order.step.name, "direction": order.direction.value, "attempt": order.attempt}
    if isinstance(order.action, Local):
        return {**asked, "handler": order.action.handler}
    command = order.action.build(state.data)
    payload = MessageToDict(command, preserving_proto_field_name=True)
    along = [step.name for step in aboard(saga, state)]
    sent = {"service": order.action.service, "command": command.DESCRIPTOR.full_name, "payload": payload}
    return {**asked, **sent, "along": along} if along else {**asked, **sent}


def _timeline(transition: Transition) -> list[str]:
    return [f"{line.kind} {line.step}".rstrip() for line in transition.timeline]


def _entry(entry: Json) -> str:
    lines = ",\n".join(f"      {_line(name)}: {_line(value)}" for name, value in entry.items())
    return f"    {{\n{lines}\n    }}"


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
