#!/usr/bin/env bash
# Writes the recipes of a release: what goes into bioconda-recipes as recipes/.
#
#   containers/conda/release.sh ARCHIVE ADDRESS FOLDER
#
# ARCHIVE is the release's source archive, ADDRESS where it can be had.
set -euo pipefail
archive=${1:?which archive?} address=${2:?where can it be had?} folder=${3:?which folder?}
recipes=$(dirname "$0")
hash=$(sha256sum "$archive" | cut -d ' ' -f 1)
mkdir -p "$folder"
cp -r "$recipes/screader-suite" "$recipes/screader-models" "$folder/"
awk -v address="$address" -v hash="$hash" '
  /^# / || $1 == "use_gitignore:" { next }
  $1 == "path:" { print "  url: " address; print "  sha256: " hash; next }
  { print }' "$recipes/screader-suite/recipe.yaml" >"$folder/screader-suite/recipe.yaml"
