#!/bin/bash
# Renders every overlay into a folder: alone, with all components, and with these and each payment provider.
#
#   deploy/render.sh FOLDER      makes FOLDER/dev.yaml, dev-with-all.yaml, dev-with-stripe.yaml ...
set -euo pipefail
into=$(realpath "$1")
cd "$(dirname "$0")/.."

if command -v kustomize >/dev/null; then render=(kustomize build)
elif command -v kubectl >/dev/null; then render=(kubectl kustomize)
else
    echo "Neither kubectl nor kustomize is installed: the overlays cannot be rendered here." >&2
    exit 1
fi

# Renders an overlay with every component that it has not itself, and with a payment provider where one is named.
with_all_components() {
    local folder=$into/$1-with-${2:-all} component
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

for overlay in deploy/k8s/overlays/*/; do
    name=$(basename "$overlay")
    "${render[@]}" "$overlay" >"$into/$name.yaml"
    with_all_components "$name"
    # What providers share (auditor) comes with each of them.
    for secret in deploy/k8s/providers/*/external-secret/; do
        with_all_components "$name" "$(basename "$(dirname "$secret")")"
    done
done
