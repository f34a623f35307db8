#!/bin/bash
# Renders every overlay, alone and with all components, and holds it against the schemas of Kubernetes, and looks over the Dockerfile.
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

if command -v kustomize >/dev/null; then render=(kustomize build)
elif command -v kubectl >/dev/null; then render=(kubectl kustomize)
else
    echo "Neither kubectl nor kustomize is installed: the overlays cannot be rendered here." >&2
    exit 1
fi

# Renders an overlay with every component that it has not itself, and with a payment provider where one is named.
with_all_components() {
    local folder=$scratch/$1-with-${2:-all} component
    mkdir "$folder"
    {
        echo "resources: [$(realpath --relative-to="$folder" "deploy/k8s/overlays/$1")]"
        echo "components:"
        for component in deploy/k8s/components/*/; do
            grep -q "components/$(basename "$component")[],]" "deploy/k8s/overlays/$1/kustomization.yaml" ||
                echo "  - $(realpath --relative-to="$folder" "$component")"
        done
        for component in ${2:+"deploy/k8s/providers/$2" "deploy/k8s/providers/$2/external-secret"}; do
            echo "  - $(realpath --relative-to="$folder" "$component")"
        done
    } >"$folder/kustomization.yaml"
    "${render[@]}" "$folder" >"$folder.yaml"
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$python" -m deploy.make_secrets >"$scratch/secrets.yaml"
for overlay in deploy/k8s/overlays/*/; do
    name=$(basename "$overlay")
    "${render[@]}" "$overlay" >"$scratch/$name.yaml"
    with_all_components "$name"
    # What providers share (auditor) comes with each of them.
    for secret in deploy/k8s/providers/*/external-secret/; do
        with_all_components "$name" "$(basename "$(dirname "$secret")")"
    done
done
for file in "$scratch"/*.yaml; do
    name=$(basename "$file" .yaml)
    # Its exit status says whether an object is wrong; that a schema is missing, it only says.
    if ! said=$("$tools/bin/kubernetes-validate" --strict -k "$kubernetes" "$file" 2>&1); then
        grep -v ' passed ' <<<"$said" >&2
        exit 1
    fi
    if grep WARN <<<"$said" | grep -qvE "$unknown"; then
        grep WARN <<<"$said" | grep -vE "$unknown" >&2
        exit 1
    fi
    echo "$name: $(grep -c '^kind:' "$file") objects are valid for Kubernetes $kubernetes;" \
        "$("$python" -m deploy.custom_resources "$file")"
done
# Applied by hand when a database is brought back.
"$python" -m deploy.custom_resources deploy/k8s/overlays/production/recovery/cluster.yaml
