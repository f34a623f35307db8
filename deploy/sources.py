"""`python deploy/sources.py PART`: a digest of everything in this repository that goes into the image of PART.

It reads in the Dockerfile what each stage copies, and in .dockerignore what is left out, so neither can change
unnoticed. Images bear it as the label `petpro.sources`; what does not go in, such as tests, does not change it. The
base image is no source, and locks name what comes from elsewhere.
"""

import hashlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

DOCKERFILE = "deploy/Dockerfile"
LABEL = "petpro.sources"
_TARGETS = ("devtools", "petproctl")


def digest(part: str, root: Path) -> str:
    """The hexadecimal SHA-256 of names, modes and contents. Raises FileNotFoundError where there is no such part."""
    hashed = hashlib.sha256()
    for path in sorted({root / DOCKERFILE, *_files(part, root)}):
        content = path.read_bytes()
        mode = "x" if path.stat().st_mode & 0o100 else "-"
        hashed.update(f"{path.relative_to(root).as_posix()}\0{mode}{len(content)}\0".encode() + content)
    return hashed.hexdigest()


def _files(part: str, root: Path) -> Iterator[Path]:
    left_out = re.findall(r"^\*\*/(\S+)$", (root / ".dockerignore").read_text(), re.MULTILINE)
    stages = _stages((root / DOCKERFILE).read_text())
    for source in _copied(stages, part if part in _TARGETS else "service"):
        named = root / source.replace("${SERVICE}", part)
        if not named.exists():
            raise FileNotFoundError(f"{part}: there is no {named.relative_to(root)}")
        for path in [named] if named.is_file() else named.rglob("*"):
            parts = path.relative_to(root).parents
            if path.is_file() and not any(each.match(pattern) for each in (path, *parts) for pattern in left_out):
                yield path


def _stages(dockerfile: str) -> dict[str, str]:
    """What each stage says, by its name, with its first line."""
    found = re.findall(r"^(FROM \S+ AS (\S+)\n.*?)(?=^FROM|\Z)", dockerfile, re.MULTILINE | re.DOTALL)
    return {name: text for text, name in found}


def _copied(stages: dict[str, str], name: str) -> Iterator[str]:
    """What a stage copies from the repository, and so does every stage that it stands on or takes from."""
    text = stages.get(name, "")
    for line in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE):
        yield from line.split()
    for other in re.findall(r"^(?:FROM |COPY --from=)(\S+)", text, re.MULTILINE):
        yield from _copied(stages, other)


if __name__ == "__main__":
    print(digest(sys.argv[1], Path(__file__).resolve().parents[1]))
