"""`python -m deploy.observability [--check]`: writes the rules of the objectives, and the dashboards."""

import sys
from pathlib import Path

from deploy.observability import boards, slos

FOLDER = Path(__file__).parent


def generated() -> dict[Path, str]:
    """Every file that is written here, with what belongs into it."""
    drawn = {FOLDER / "dashboards" / f"{each.name}.json": boards.grafana(each) for each in boards.DASHBOARDS}
    return {FOLDER / "rules" / "slos.yaml": slos.rules(), **drawn}


def main(arguments: list[str]) -> int:
    """Writes the files, or says by the exit status whether they are as they should be."""
    stale = [path for path, text in generated().items() if not path.exists() or path.read_text() != text]
    if arguments == ["--check"]:
        for path in stale:
            print(f"{path.name} is out of date: run `make proto`", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        path.write_text(generated()[path])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
