#!/bin/bash
# Sets up the virtual environment. Steps: `locked VENV` (third-party packages, hashes required) and
# `packages VENV FOLDER...` (PetPro's own, editable). Each ends by writing VENV/.STEP for make, with the folder for which it
# was done: an environment that was moved or copied would run what lies in the other.
# Two runs at once wait for each other, since both would write the same folder.
set -euo pipefail

cd -P "$(dirname "$0")/.."
step=$1 venv=$2
shift 2
quiet=(--quiet --disable-pip-version-check --root-user-action=ignore)

# Those for which there are wheels of everything that is locked.
fits='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))'

find_python() {
    local candidate candidates=(python3 python3.14 python3.13 python3.12 python3.11)
    if [ -n "${PYTHON:-}" ]; then candidates=("$PYTHON"); fi
    for candidate in "${candidates[@]}"; do
        if "$candidate" -c "import venv, ensurepip; $fits" 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    local found=${PYTHON:-python3}
    echo "PetPro needs Python 3.11 to 3.14 with its venv module; $found is $("$found" --version 2>&1 || true)." >&2
    echo "Install it (on Debian: python3 and python3-venv), or name it: make PYTHON=/path/to/python3 ..." >&2
    return 1
}

locked() {
    local python
    python=$(find_python)
    if [ "$(cat "$venv/.locked" 2>/dev/null)" != "$PWD" ] || ! "$venv/bin/python" -c "import pip; $fits" 2>/dev/null; then
        rm -rf "$venv"
        "$python" -m venv "$venv"
    fi
    echo "Installing the locked packages into $venv (a minute or two, the first time) ..."
    "$venv/bin/python" -m pip install "${quiet[@]}" --require-hashes --no-deps -r requirements/requirements.lock
}

packages() {
    local editable=() folder
    for folder in "$@"; do editable+=(-e "./${folder%/}"); done
    [ ${#editable[@]} -eq 0 ] && return
    echo "Installing PetPro's own packages: $*"
    # compat: a plain .pth line per package, which type checkers and people can follow.
    "$venv/bin/python" -m pip install "${quiet[@]}" --no-deps --no-build-isolation \
        --config-settings editable_mode=compat "${editable[@]}"
}

exec 9>>.setup.lock
if command -v flock >/dev/null; then flock 9; fi
"$step" "$@"
echo "$PWD" >"$venv/.$step"
