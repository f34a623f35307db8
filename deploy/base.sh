#!/bin/bash
# Makes petpro/base:dev, an image for BASE_IMAGE, where none can be pulled: a small Debian with Python and venv, nothing more.
# Needs root, debootstrap and buildah. DEBIAN_MIRROR names another mirror than debootstrap's own.
set -euo pipefail

cd "$(dirname "$0")/.."
made=$(git log -1 --format=%ct)
[ "$(id -u)" = 0 ] || { echo "Only root can make a base image." >&2; exit 1; }
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates,tzdata bookworm "$root" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"} >&2

# What differs from one making to the next, and what nobody reads in a container.
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/{apt,debconf,ldconfig}/* "$root"/var/log/* "$root"/tmp/* \
    "$root"/usr/share/{doc,man,locale,info,lintian} "$root"/etc/{machine-id,hostname,resolv.conf}
find "$root" -name __pycache__ -type d -prune -exec rm -rf {} +

container=$(buildah from scratch)
mounted=$(buildah mount "$container")
cp -a "$root/." "$mounted/"
buildah umount "$container" >/dev/null
buildah config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin --cmd python3 "$container"
buildah commit --quiet --rm --timestamp "$made" "$container" petpro/base:dev >/dev/null
echo "petpro/base:dev: $(buildah images --format '{{.Size}}' petpro/base:dev)"
