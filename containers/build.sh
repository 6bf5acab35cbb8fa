#!/usr/bin/env bash
# Builds an image from this checkout, with the first of buildah, podman and docker there is.
#
#   containers/build.sh screader          → screader:VERSION
#   containers/build.sh screader-gpu      → screader-gpu:VERSION
#
# BASE             another base image with Python 3.11 (default: that of containers/locks/base.txt)
# WHEELS           folder of wheels that pip looks into too (the CPU build of torch)
# EXTRA_INDEX_URL  a further package index that pip looks into (default, without WHEELS and for the
#                  CPU image: PyTorch's, which has that build)
# CA_BUNDLE        certificates that pip trusts while building
# PREFIX           registry and path that go before the image's name, in lower case
# None of these is in the image. The last commit is built, not what has changed since.
set -euo pipefail
cd "$(dirname "$0")/.."
image=${1:?which image? screader or screader-gpu}
case $image in screader | screader-gpu) ;; *) echo "no image is called $image" >&2; exit 2 ;; esac

version=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' screader_lib/__init__.py)
revision=$(git rev-parse HEAD)
epoch=$(git log -1 --format=%ct)
created=$(date -u -d "@$epoch" +%Y-%m-%dT%H:%M:%SZ)
source=$(git remote get-url origin 2>/dev/null || true)
case $source in https://*@* | [!h]* | h[!t]* | "") source="pkg:pypi/screader-suite@$version" ;; esac
prefix=${PREFIX:-}
tag=${prefix,,}$image:$version

arguments=(
  --build-arg "IMAGE=$image" --build-arg "VERSION=$version" --build-arg "REVISION=$revision"
  --build-arg "SOURCE=$source" --build-arg "CREATED=$created"
  --build-arg "SOURCE_DATE_EPOCH=$epoch"
)
arguments+=(--build-arg "BASE=${BASE:-$(<containers/locks/base.txt)}")
if [ "$image" = screader ] && [ -z "${WHEELS:-}" ]; then
  : "${EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu}"
fi
if [ -n "${EXTRA_INDEX_URL:-}" ]; then
  arguments+=(--build-arg "PIP_EXTRA_INDEX_URL=$EXTRA_INDEX_URL")
fi

engine=${ENGINE:-}
for one in buildah podman docker; do
  if [ -z "$engine" ] && command -v "$one" >/dev/null && "$one" info >/dev/null 2>&1; then
    engine=$one
  fi
done
[ -n "$engine" ] || { echo "no buildah, podman or docker that works here" >&2; exit 1; }

# What is mounted over a path of the base leaves nothing in a layer. Docker mounts nothing while
# it builds: there WHEELS and CA_BUNDLE have to come with an index or a base of one's own.
case $engine in
  docker) build=(docker build) ;;
  *)
    build=("$engine" build --format docker ${BUILD_FLAGS:-})
    if [ -n "${WHEELS:-}" ]; then
      arguments+=(--volume "$(realpath "$WHEELS"):/wheels:ro" --build-arg PIP_FIND_LINKS=/wheels)
    fi
    if [ -n "${CA_BUNDLE:-}" ]; then
      inside=/etc/ssl/certs/ca-certificates.crt
      arguments+=(--volume "$CA_BUNDLE:$inside:ro" --build-arg "PIP_CERT=$inside")
    fi
    ;;
esac
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
git archive HEAD | tar -x -C "$context"
"${build[@]}" "${arguments[@]}" -f containers/Dockerfile -t "$tag" "$context"
echo "$tag"
