#!/bin/bash
# Sets up the virtual environment. Steps: `locked VENV` (third-party packages, hashes required) and
# `packages VENV FOLDER...` (PetPro's own, editable). Each ends by touching VENV/.STEP for make.
# Two runs at once wait for each other, since both would write the same folder.
set -euo pipefail

step=$1 venv=$2
shift 2
quiet=(--quiet --disable-pip-version-check --root-user-action=ignore)

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    local found=${PYTHON:-python3}
    echo "PetPro needs Python 3.11 or newer with its venv module; $found is $("$found" --version 2>&1 || true)." >&2
    echo "Install it (on Debian: python3 and python3-venv), or name it: make PYTHON=/path/to/python3 ..." >&2
    return 1
}

locked() {
    local python
    python=$(find_python)
    if ! "$venv/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
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
touch "$venv/.$step"
