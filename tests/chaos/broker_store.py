"""How JetStream's store can be harmed while the server is down."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

_BYTES_HARMED = 40

Harm = Callable[[Path, Path], None]
"""Is given the store and an older copy of it."""


def delete(store: Path, _copy: Path) -> None:
    shutil.rmtree(store)


def cut_blocks(store: Path, _copy: Path) -> None:
    """Every block of messages loses its second half."""
    for block in _blocks(store):
        with block.open("r+b") as file:
            file.truncate(block.stat().st_size // 2)


def cut_state(store: Path, _copy: Path) -> None:
    """What consumers had acknowledged is gone, and what the server knew of its blocks."""
    for file in (*store.rglob("o.dat"), *store.rglob("index.db")):
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def cut_what_was_in_hand(store: Path, _copy: Path) -> None:
    """Of what consumers were at, only how far they were is left: four numbers of seven bits a byte behind two bytes."""
    for file in store.rglob("o.dat"):
        content = file.read_bytes()
        ends = [place for place, byte in enumerate(content) if place > 1 and byte < 0x80]
        file.write_bytes(content[: ends[3] + 1])


def corrupt(store: Path, _copy: Path) -> None:
    """Some bytes of every block are others than before."""
    for block in _blocks(store):
        content = bytearray(block.read_bytes())
        for _ in range(min(_BYTES_HARMED, len(content))):
            content[random.randrange(len(content))] ^= 0xFF
        block.write_bytes(content)


def corrupt_descriptions(store: Path, _copy: Path) -> None:
    """What the streams and consumers are called and how they are set up cannot be read any more."""
    for file in store.rglob("meta.inf"):
        file.write_bytes(b"\0" * file.stat().st_size)


def roll_back(store: Path, copy: Path) -> None:
    """An older copy stands in its place."""
    shutil.rmtree(store)
    shutil.copytree(copy, store)


def _blocks(store: Path) -> list[Path]:
    return [block for block in store.rglob("*.blk") if block.stat().st_size]


HARMS: dict[str, Harm] = {
    "deleted": delete,
    "cut in half": cut_blocks,
    "without its state": cut_state,
    "without what was in hand": cut_what_was_in_hand,
    "corrupted": corrupt,
    "without its descriptions": corrupt_descriptions,
    "rolled back": roll_back,
}
