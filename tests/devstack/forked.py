"""A process of the tests of the fork server: it tells what it sees of itself, and waits to be ended where asked to."""

import json
import os
import random
import sys
import time
from pathlib import Path

from petpro_common.ids import new_id

SELF = Path("/proc/self")

if __name__ == "__main__":
    files = (SELF / "fd" / str(number) for number in range(3, 64))
    told = {
        "pid": os.getpid(),
        "leads its session": os.getsid(0) == os.getpid(),
        "threads": len(list((SELF / "task").iterdir())),
        "argv": sys.argv[1:],
        "environment": dict(os.environ),
        "folder": str(Path.cwd()),
        "files": [str(file.readlink()) for file in files if file.is_symlink()],
        "random": random.random(),
        "id": str(new_id()),
    }
    print(json.dumps(told), flush=True)
    if sys.argv[1] == "waits":
        time.sleep(60)
    sys.exit(int(sys.argv[1]))
