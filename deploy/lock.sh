#!/bin/bash
# Writes deploy/locks/: what each image installs, with hashes. The images get what their packages' pyproject.toml ask for,
# in the versions of requirements/requirements.lock, so that what was tested is what ships.
set -euo pipefail
cd "$(dirname "$0")/.."

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"${PYTHON:-python3}" -m venv "$scratch"
"$scratch/bin/python" -m pip install --quiet --disable-pip-version-check uv

lock() {
    "$scratch/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
        --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
        --no-emit-package petpro-api --no-emit-package petpro-common \
        --no-emit-package "petpro-$1" --no-emit-package petproctl "${@:2}" - -o "deploy/locks/$1.lock"
}

tested=(-c requirements/requirements.lock)
for service in account catalog booking payment notification; do
    printf './%s\n' "services/$service" libs/common libs/api | lock "$service" "${tested[@]}"
done
printf './%s\n' services/gateway libs/api | lock gateway "${tested[@]}"
echo setuptools | lock build "${tested[@]}"
printf './%s\n' libs/petproctl libs/common libs/api | lock petproctl "${tested[@]}"
lock devtools "${tested[@]}" <deploy/locks/devtools.in
lock checks <deploy/locks/checks.in
