#!/bin/bash
# Renders every overlay into a folder: alone, with all components, and with these and each payment provider, or all senders.
#
#   deploy/render.sh FOLDER      makes FOLDER/dev.yaml, dev-with-all.yaml, dev-with-stripe.yaml, dev-with-senders.yaml ...
set -euo pipefail
into=$(realpath "$1")
cd "$(dirname "$0")/.."

if command -v kustomize >/dev/null; then render=(kustomize build)
elif command -v kubectl >/dev/null; then render=(kubectl kustomize)
else
    echo "Neither kubectl nor kustomize is installed: the overlays cannot be rendered here." >&2
    exit 1
fi

# Renders an overlay with every component that it has not itself, and with the folders of others, under a name.
with_all_components() {
    local folder=$into/$1-with-$2 component
    mkdir "$folder"
    {
        echo "resources: [$(realpath --relative-to="$folder" "deploy/k8s/overlays/$1")]"
        echo "components:"
        for component in deploy/k8s/components/*/; do
            grep -q "components/$(basename "$component")[],]" "deploy/k8s/overlays/$1/kustomization.yaml" ||
                echo "  - $(realpath --relative-to="$folder" "$component")"
        done
        for component in "${@:3}"; do
            echo "  - $(realpath --relative-to="$folder" "$component")"
        done
    } >"$folder/kustomization.yaml"
    "${render[@]}" "$folder" >"$folder.yaml"
}

for overlay in deploy/k8s/overlays/*/; do
    name=$(basename "$overlay")
    "${render[@]}" "$overlay" >"$into/$name.yaml"
    with_all_components "$name" all
    # What providers share (auditor) comes with each of them.
    for secret in deploy/k8s/providers/*/external-secret/; do
        provider=$(dirname "$secret")
        with_all_components "$name" "$(basename "$provider")" "$provider" "$secret"
    done
    with_all_components "$name" senders deploy/k8s/senders/*/ deploy/k8s/senders/*/external-secret/
done
