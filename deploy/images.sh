#!/bin/bash
# Builds the image of every part, or of those that are named, as petpro/PART:dev, and looks into each.
#
#   BASE_IMAGE     where the Dockerfile's default cannot be pulled: any image with Python 3.11, venv and pip
#   BUILDER        buildah, podman or docker; otherwise whichever is installed, in this order
#   BUILDER_FLAGS  more words for the builder, such as volumes with certificates of a proxy
set -euo pipefail
cd "$(dirname "$0")/.."

parts=("$@")
[ $# -gt 0 ] || parts=(account booking catalog gateway notification payment petproctl devtools)
builder=${BUILDER:-$(for each in buildah podman docker; do command -v "$each" && break; done || true)}
if [ -z "$builder" ]; then
    echo "Skipped: neither buildah nor podman nor docker is installed, so no image can be built here."
    exit 0
fi

base=()
[ -z "${BASE_IMAGE:-}" ] || base=(--build-arg "BASE_IMAGE=$BASE_IMAGE")
case $(basename "$builder") in
# Layers bear the time of the commit, so that the same commit gives the same image.
buildah) build=("$builder" build --layers --isolation chroot --timestamp "$(git log -1 --format=%ct)") ;;
podman) build=("$builder" build --layers --timestamp "$(git log -1 --format=%ct)") ;;
*) build=("$builder" build) ;;
esac

for part in "${parts[@]}"; do
    target=(--target "$part")
    case $part in petproctl | devtools) ;; *) target=(--target service --build-arg "SERVICE=$part") ;; esac
    # shellcheck disable=SC2086  # the flags are words
    "${build[@]}" ${BUILDER_FLAGS:-} "${base[@]}" "${target[@]}" -f deploy/Dockerfile -t "petpro/$part:dev" . >/dev/null
    echo "petpro/$part:dev is built"
done
