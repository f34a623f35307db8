#!/bin/bash
# Builds the image of every part, or of those that are named, as petpro/PART:dev, and looks into each: it does not run
# as root, has no compiler, and its bill of materials names what it holds. Each is labelled with a digest of its sources.
#
#   BASE_IMAGE     where the Dockerfile's default cannot be pulled: any image with Python 3.11 and venv (deploy/base.sh)
#   BUILDER        buildah, podman or docker; otherwise whichever is installed, in this order
#   BUILDER_FLAGS  more words for the builder, such as volumes with certificates of a proxy
#   TWICE=1        builds each a second time from nothing, and compares the digests
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
# The same commit gives the same image: files bear its time, and no layer is taken from a cache, whose history has other times.
made=$(git log -1 --format=%ct)
same=(--layers=false --timestamp "$made")
case $(basename "$builder") in
buildah) build=("$builder" build --isolation chroot) ;;
podman) build=("$builder" build) ;;
*) build=("$builder" build) same=() ;;
esac

# build_part PART NAME FLAGS...
build_part() {
    local target=(--target service --build-arg "SERVICE=$1")
    case $1 in petproctl | devtools) target=(--target "$1" --build-arg SERVICE=none) ;; esac
    local sources
    sources=$("${PYTHON:-python3}" deploy/sources.py "$1")
    # shellcheck disable=SC2086  # the flags are words
    "${build[@]}" --quiet ${BUILDER_FLAGS:-} "${base[@]}" "${same[@]}" "${target[@]}" "${@:3}" \
        --label "petpro.sources=$sources" \
        -f deploy/Dockerfile -t "$2" . >/dev/null
}

# Prints what it saw; the image that it makes for this is not kept.
look_into() {
    local module=petpro_$1
    case $1 in petproctl) module=petproctl ;; devtools) module=devstack.sandbox ;; esac
    "${build[@]}" --no-cache --build-arg "IMAGE=petpro/$1:dev" --build-arg "MODULE=$module" \
        -f deploy/look.Dockerfile -t petpro/looked-into . >"$scratch/said" 2>&1 ||
        { cat "$scratch/said" >&2; exit 1; }
    "$builder" rmi petpro/looked-into >/dev/null
    sed -n 's/.*looked: //p' "$scratch/said"
}

# Once, though an image that was made twice has two names.
digest() { "$builder" images --format '{{.Digest}}' "$1" | sort -u; }

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
for part in "${parts[@]}"; do
    name=petpro/$part:dev
    build_part "$part" "$name"
    said=$(look_into "$part")
    echo "$name: $("$builder" images --format '{{.Size}}' "$name"), $said"
    [ -n "${TWICE:-}" ] || continue
    if [ ${#same[@]} -eq 0 ]; then
        echo "$name: not built twice: layers of $builder bear the time of their making"
        continue
    fi
    build_part "$part" "petpro/$part:again" --no-cache
    first=$(digest "$name") second=$(digest "petpro/$part:again")
    "$builder" rmi "petpro/$part:again" >/dev/null
    if [ "$first" != "$second" ]; then
        echo "$name: built twice, and $first is not $second" >&2
        exit 1
    fi
    echo "$name: built twice, both times $first"
done
