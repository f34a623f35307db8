#!/bin/bash
# Holds everything that render.sh renders against the schemas of Kubernetes, and looks over the Dockerfile.
# Its tools live in a virtual environment of their own: the schemas are large, and nobody else needs them.
set -euo pipefail
cd "$(dirname "$0")/.."

kubernetes=${KUBERNETES_VERSION:-1.34.0}
python=$1
tools=$(dirname "$(dirname "$python")")/checks
# What operators of others define is not among Kubernetes' schemas: deploy/schemas has it.
unknown='(postgresql\.cnpg\.io|barmancloud\.cnpg\.io|monitoring\.coreos\.com|external-secrets\.io|cert-manager\.io)/v1'

if ! cmp --silent deploy/locks/checks.lock "$tools/installed"; then
    echo "Installing the tools that check manifests (a minute, the first time) ..."
    "$python" -m venv --clear "$tools"
    "$tools/bin/python" -m pip install --quiet --disable-pip-version-check --root-user-action=ignore \
        --require-hashes --only-binary=:all: -r deploy/locks/checks.lock
    cp deploy/locks/checks.lock "$tools/installed"
fi

"$tools/bin/hadolint" deploy/Dockerfile deploy/look.Dockerfile
echo "deploy/Dockerfile: hadolint has nothing to say"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$python" -m deploy.make_secrets >"$scratch/secrets.yaml"
deploy/render.sh "$scratch"
for file in "$scratch"/*.yaml; do
    name=$(basename "$file" .yaml)
    # Its exit status says whether an object is wrong; that a schema is missing, it only says.
    if ! said=$("$tools/bin/kubernetes-validate" --strict -k "$kubernetes" "$file" 2>&1); then
        grep -v ' passed ' <<<"$said" >&2
        exit 1
    fi
    if lacking=$(grep WARN <<<"$said" | grep -vE "$unknown"); then
        echo "$lacking" >&2
        exit 1
    fi
    custom=$("$python" -m deploy.custom_resources "$file")
    echo "$name: $(grep -c '^kind:' "$file") objects are valid for Kubernetes $kubernetes; $custom"
done
# Applied by hand when a database is brought back.
"$python" -m deploy.custom_resources deploy/k8s/overlays/production/recovery/cluster.yaml
