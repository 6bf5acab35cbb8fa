#!/usr/bin/env bash
# Builds an Apptainer image from this checkout.
#
#   containers/build-sif.sh screader|screader-gpu [FOLDER]             from the definition file
#   containers/build-sif.sh screader|screader-gpu [FOLDER] ARCHIVE     from an OCI image
#
# → FOLDER/IMAGE-VERSION.sif (FOLDER is the present one). ARCHIVE is what
# `podman save -o ARCHIVE IMAGE:VERSION` or `docker save` writes.
#
# BASE_ARCHIVE     archive of the base image, instead of that of containers/locks/base.txt
# WHEELS           folder of wheels that pip looks into too (the CPU build of torch)
# EXTRA_INDEX_URL  a further package index that pip looks into (default, without WHEELS and for the
#                  CPU image: PyTorch's, which has that build)
# CA_BUNDLE        certificates that pip trusts while building
# SQUASHFS_ARGS    for mksquashfs, such as "-comp gzip -Xcompression-level 1": quicker and larger
# None of these is in the image. The last commit is built, not what has changed since.
set -euo pipefail
image=${1:?which image? screader or screader-gpu}
folder=$(realpath "${2:-.}")
archive=${3:+$(realpath "$3")}
cd "$(dirname "$0")/.."
version=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' screader_lib/__init__.py)
target=$folder/$image-$version.sif
options=(--force)
if [ -n "${SQUASHFS_ARGS:-}" ]; then options+=("--mksquashfs-args=$SQUASHFS_ARGS"); fi

if [ -n "$archive" ]; then
  apptainer --quiet build "${options[@]}" "$target" "docker-archive:$archive"
  echo "$target"
  exit
fi

epoch=$(git log -1 --format=%ct)
source=$(git remote get-url origin 2>/dev/null || true)
case $source in https://*@* | [!h]* | h[!t]* | "") source="pkg:pypi/screader-suite@$version" ;; esac
argument() { options+=(--build-arg "$1=$2"); }
argument VERSION "$version"
argument REVISION "$(git rev-parse HEAD)"
argument SOURCE "$source"
argument CREATED "$(date -u -d "@$epoch" +%Y-%m-%dT%H:%M:%SZ)"
argument SOURCE_DATE_EPOCH "$epoch"
if [ -n "${BASE_ARCHIVE:-}" ]; then
  argument BOOTSTRAP docker-archive
  argument BASE "$(realpath "$BASE_ARCHIVE")"
else
  base=$(<containers/locks/base.txt)
  argument BASE "${base/:*@/@}" # Apptainer takes a tag or a digest, not both
fi
if [ "$image" = screader ] && [ -z "${WHEELS:-}" ]; then
  : "${EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu}"
fi
if [ -n "${EXTRA_INDEX_URL:-}" ]; then argument PIP_EXTRA_INDEX_URL "$EXTRA_INDEX_URL"; fi
if [ -n "${WHEELS:-}" ]; then
  options+=(--bind "$(realpath "$WHEELS"):/mnt:ro")
  argument PIP_FIND_LINKS /mnt
fi
if [ -n "${CA_BUNDLE:-}" ]; then
  inside=/etc/ssl/certs/ca-certificates.crt
  options+=(--bind "$CA_BUNDLE:$inside:ro")
  argument PIP_CERT "$inside"
fi
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
git archive HEAD | tar -x -C "$context"
cd "$context"
apptainer --quiet build "${options[@]}" "$target" "containers/apptainer/$image.def"
echo "$target"
