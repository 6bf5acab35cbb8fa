#!/usr/bin/env bash
# Writes the recipe of a release: what goes into Bioconda as recipes/screader-suite/meta.yaml.
#
#   containers/conda/release.sh ARCHIVE ADDRESS >meta.yaml
#
# ARCHIVE is the release's source archive, ADDRESS where it can be had.
set -euo pipefail
archive=${1:?which archive?} address=${2:?where can it be had?}
recipe=$(dirname "$0")/meta.yaml
hash=$(sha256sum "$archive" | cut -d ' ' -f 1)
awk -v address="$address" -v hash="$hash" '
  /^# / { next }
  $1 == "path:" { print "  url: " address; print "  sha256: " hash; next }
  { print }' "$recipe"
