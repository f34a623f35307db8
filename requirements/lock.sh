#!/bin/bash
# Resolves requirements.in to requirements.lock, and the lists of programs in environments of their own: newest versions, every
# platform, every hash, and no registry's name.
set -euo pipefail
cd "$(dirname "$0")/.."

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"${PYTHON:-python3}" -m venv "$scratch"
"$scratch/bin/python" -m pip install --quiet --disable-pip-version-check uv
lists=(requirements/requirements bench/peers/requirements-{dbos,natsaga} services/payment/tests/localstripe/requirements)
for list in "${lists[@]}"; do
    "$scratch/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade \
        --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" "$list.in" -o "$list.lock"
done
