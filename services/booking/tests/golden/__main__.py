"""Writes the golden histories of versions that have none; those that are there are released and stay as they are."""

from pathlib import Path

from petpro_booking.saga import FINISHING, SAGAS
from petpro_common.saga import Saga
from services.booking.tests.golden.histories import FOLDER, folder_of
from services.booking.tests.golden.scripts import histories_of


def write(saga: Saga, inside: Path = FOLDER) -> int:
    """Writes the histories of one version, and says how many. Raises FileExistsError when it has any."""
    folder = folder_of(saga, inside)
    folder.mkdir()
    for name, told in histories_of(saga):
        (folder / f"{name}.json").write_text(told.written())
    return len(list(folder.iterdir()))


def main() -> None:
    for saga in (*SAGAS, *FINISHING):
        try:
            print(f"{saga.type} version {saga.version}: {write(saga)} histories")
        except FileExistsError:
            print(f"{saga.type} version {saga.version}: released, left as it is")


if __name__ == "__main__":
    main()
