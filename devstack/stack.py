"""The whole platform as one object: every part, in the order in which they need each other."""

import asyncio
import json
import os
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from devstack import gateway, mail, sandbox_part, services
from devstack.control import Control, forget, is_heard
from devstack.description import describe
from devstack.layout import SERVICES, Layout, write_private_json
from devstack.nats import Nats
from devstack.ownership import own
from devstack.part import Part, PartFailed
from devstack.ports import Ports
from devstack.postgres import Postgres
from devstack.secrets import Secrets
from devstack.services import Surroundings
from devstack.supervised import Supervised

PARTS = ("postgres", "nats", "mail", "sandbox", *SERVICES, "gateway")

Listener = Callable[[Supervised], None]
"""Told of every change of a part's state."""


class Stack:
    """A stack in a folder.

    `only` names the parts to have (all, unless told); `env` adds settings to parts by name; `fast` lets
    the database lose data in a power cut (not when it is killed), for tests.
    """

    def __init__(
        self,
        run: Path,
        *,
        only: Collection[str] = PARTS,
        fast: bool = False,
        env: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self.layout = Layout(run.absolute())
        self._only = frozenset(only)
        self._fast = fast
        self._env = env or {}
        self.listener: Listener = lambda _part: None
        self._parts: dict[str, Supervised] = {}
        self._control: Control | None = None
        self._lock_file: int | None = None
        self._around: Surroundings | None = None

    @property
    def parts(self) -> Mapping[str, Supervised]:
        return self._parts

    @property
    def around(self) -> Surroundings:
        """Addresses and secrets; only while the stack runs."""
        if self._around is None:
            raise LookupError("the stack has not been started")
        return self._around

    @property
    def endpoints(self) -> dict[str, object]:
        """What `.run/stack.json` says."""
        control = str(self._control.path) if self._control else None
        return describe(self.around, self._parts, control)

    async def start(self) -> None:
        """Start every part, side by side where their needs allow.

        PartFailed, with everything stopped again, when one does not come up.
        """
        unknown = self._only - set(PARTS)
        if unknown:
            raise ValueError(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
        self.layout.prepare()
        self._lock_file = await own(self.layout.supervisor_lock)
        try:
            self._forget_killed_supervisor()
            ports = Ports.for_new_stack(self.layout.ports)
            self._around = surroundings(self.layout, ports, fast=self._fast)
            self._around.secrets.make_all()
            self._parts = {part.name: self._supervise(part, self._lock_file) for part in self._wanted()}
            self._control = await Control.open(self)
            await self._start_all()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Drain every part, those first that others feed; nothing is left running."""
        by_rank = sorted(self._parts.values(), key=_stop_rank)
        for _rank, group in groupby(by_rank, key=_stop_rank):
            await asyncio.gather(*(part.stop() for part in group))
        if self._control is not None:
            await self._control.close()
            self._control = None
            self._describe()
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None

    async def start_part(self, name: str, argv: Sequence[str] = ()) -> None:
        """Start a part that is down, or `argv` in its place for this once, and wait until it is ready."""
        await self._part(name).start(argv)

    async def stop_part(self, name: str) -> None:
        """Drain and end one part; the others live on."""
        await self._part(name).stop()

    async def kill(self, name: str) -> None:
        """SIGKILL one part; the others live on."""
        await self._part(name).kill()

    def pid(self, name: str) -> int | None:
        return self._part(name).pid

    def _forget_killed_supervisor(self) -> None:
        if self.layout.description.exists():
            left = json.loads(self.layout.description.read_text()).get("control")
            if left and not is_heard(Path(left)):
                forget(Path(left))

    def _part(self, name: str) -> Supervised:
        if name not in self._parts:
            raise LookupError(f"no such part: {name}; there are {', '.join(self._parts)}")
        return self._parts[name]

    def _wanted(self) -> list[Part]:
        parts = [part for part in _all_parts(self.around) if part.name in self._only]
        return [replace(part, env={**part.env, **self._env.get(part.name, {})}) for part in parts]

    def _supervise(self, part: Part, lock_file: int) -> Supervised:
        log = self.layout.log(part.name)
        log.write_bytes(b"")
        return Supervised(part, log, self._part_changed, lock_file)

    def _part_changed(self, part: Supervised) -> None:
        self._describe()
        self.listener(part)

    def _describe(self) -> None:
        """Says for others how the stack is. A full disk keeps no part from being started or stopped."""
        try:
            write_private_json(self.layout.description, self.endpoints)
        except OSError as fault:
            print(f"{self.layout.description} says what was before: {fault}", file=sys.stderr)

    async def _start_all(self) -> None:
        ready = {name: asyncio.Event() for name in self._parts}

        async def start_in_turn(part: Supervised) -> None:
            needs = [ready[need] for need in part.part.needs if need in ready]
            if needs:
                part.wait()
            for need in needs:
                await need.wait()
            await part.start()
            ready[part.part.name].set()

        try:
            async with asyncio.TaskGroup() as group:
                for part in self._parts.values():
                    group.create_task(start_in_turn(part))
        except BaseExceptionGroup as group_of_failures:
            failures = group_of_failures.subgroup(PartFailed)
            if failures is None:
                raise
            raise _first(failures) from None


def surroundings(layout: Layout, ports: Ports, *, fast: bool) -> Surroundings:
    """What the services of the stack in that folder see around them."""
    secrets = Secrets(layout)
    postgres = Postgres(layout, secrets, ports.of("postgres"), fast)
    nats = Nats(layout, secrets, ports.of("nats"), ports.of("nats.monitor"))
    return Surroundings(layout, secrets, ports, postgres, nats)


def _all_parts(around: Surroundings) -> list[Part]:
    return [
        around.postgres.part(),
        around.nats.part(),
        mail.part(around.layout, around.ports.of("mail")),
        sandbox_part.part(around),
        *(services.part(around, service) for service in SERVICES),
        gateway.part(around),
    ]


def _stop_rank(part: Supervised) -> int:
    return part.part.stop_rank


def _first(failures: BaseExceptionGroup[PartFailed]) -> PartFailed:
    found = failures.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found
