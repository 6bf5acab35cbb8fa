#!/usr/bin/env bash
# Builds the images and tests them; `make test-containers` and `make test-containers-gpu` call it.
#
#   containers/test.sh PYTHON IMAGE...        PYTHON has the suite and its test packages
#
# Where no engine can be had, that is said, the tests that need none run, and all ends well.
# ENGINE_FOLDER keeps engine, archives and SIFs (default /var/tmp/screader-engine).
# WITHOUT_DEFINITION=1 makes Apptainer's image from the other one only, not from its definition too.
# CA_BUNDLE and WHEELS are those of containers/build.sh; by default what pip itself is told.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$1
shift
folder=${ENGINE_FOLDER:-/var/tmp/screader-engine}
say() { echo "containers: $* [${SECONDS}s]"; }
run_tests() { "$python" -m pytest tests/containers --durations=5 -n 2 --dist worksteal; }

"$python" -m pip install --quiet -r containers/requirements-test.txt
containers/engine.sh "$folder"
if [ ! -d "$folder/bin" ]; then
  say "images are neither built nor run; the other tests are"
  run_tests
  exit
fi
export PATH=$folder/bin:$PATH
export CA_BUNDLE=${CA_BUNDLE:-${PIP_CERT:-}} WHEELS=${WHEELS:-${PIP_FIND_LINKS:-}}
if [ ! -d "$WHEELS" ]; then unset WHEELS; fi
if [ ! -f "$CA_BUNDLE" ]; then unset CA_BUNDLE; fi
version=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' screader_lib/__init__.py)
base=$(<"$folder/base")
export SCREADER_TEST_BASE=$base SCREADER_TEST_IMAGES="" SCREADER_TEST_SIFS=""
export SCREADER_TEST_ARCHIVES=""
mkdir -p "$folder/archives" "$folder/from-oci" "$folder/from-definition"
export APPTAINER_TMPDIR=$folder/tmp APPTAINER_CACHEDIR=$folder/cache
mkdir -p "$APPTAINER_TMPDIR"
: "${SQUASHFS_ARGS=-comp gzip -Xcompression-level 1}"
export SQUASHFS_ARGS

logged() { # LOG COMMAND...
  local log=$1
  shift
  "$@" >"$log" 2>&1 || { tail -n 40 "$log"; say "failed: $*"; exit 1; }
}
from_definition() { # beside the rest, which it needs nothing of
  BASE_ARCHIVE=$folder/base.tar logged "$folder/definition.log" \
    containers/build-sif.sh "$1" "$folder/from-definition"
  say "$1-$version.sif is built from its definition"
}
sizes="| image | unpacked | as SIF |\n|---|---|---|\n"
beside=
trap 'if [ -n "$beside" ]; then kill "$beside" 2>/dev/null || true; fi' EXIT
for image in "$@"; do
  if command -v apptainer >/dev/null && [ -z "${WITHOUT_DEFINITION:-}" ]; then
    rm -f "$folder/base.tar"
    podman save --quiet -o "$folder/base.tar" "$base" >/dev/null
    from_definition "$image" &
    beside=$!
  fi
  BASE=$base logged "$folder/image.log" containers/build.sh "$image"
  say "$image:$version is built"
  archive=$folder/archives/$image.tar
  rm -f "$archive"
  podman save --quiet -o "$archive" "$image:$version" >/dev/null
  SCREADER_TEST_IMAGES+=" $image:$version"
  SCREADER_TEST_ARCHIVES+=" $archive"
  unpacked=$(podman inspect --format '{{.Size}}' "$image:$version")
  packed="–"
  if command -v apptainer >/dev/null; then
    logged "$folder/sif.log" containers/build-sif.sh "$image" "$folder/from-oci" "$archive"
    say "$image-$version.sif is made from the OCI image"
    SCREADER_TEST_SIFS+=" $folder/from-oci/$image-$version.sif"
    packed=$(stat -c %s "$folder/from-oci/$image-$version.sif" | awk '{printf "%.2f GB", $1 / 1e9}')
  else
    say "no Apptainer here: its images are not built"
  fi
  if [ -n "$beside" ]; then
    wait "$beside"
    beside=
    SCREADER_TEST_SIFS+=" $folder/from-definition/$image-$version.sif"
  fi
  sizes+="| $image:$version | $(awk -v n="$unpacked" 'BEGIN {printf "%.2f GB", n / 1e9}') | $packed |\n"
done
run_tests
say "tested"
printf "\n%b" "$sizes"
