"""Work that is not done again while what it reads is as it was."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from devstack.layout import write_private


@dataclass(frozen=True)
class Stamp:
    """Says in `file` what the work read: source files, and words such as a command."""

    file: Path
    sources: Iterable[Path]
    words: Sequence[str] = ()

    def is_valid(self) -> bool:
        """Whether the work has been done with just these."""
        return self.file.exists() and self.file.read_text() == self._digest()

    def put(self) -> None:
        """Note that the work is done."""
        write_private(self.file, self._digest())

    def _digest(self) -> str:
        digest = hashlib.sha256("\0".join(self.words).encode())
        for file in sorted({file for file in self.sources if file.is_file() and "__pycache__" not in file.parts}):
            digest.update(str(file).encode() + b"\0" + file.read_bytes())
        return digest.hexdigest()
