#!/usr/bin/env bash
# Known vulnerabilities of the packages that the images are locked to; 1 where there are any, or where
# one cannot be looked up.
#
#   scripts/audit.sh PIP_AUDIT      the command; asks the package index, or OSV (SERVICE=osv)
#
# Torch's build for the CPU is on no list of advisories: it is asked for as torch itself.
set -euo pipefail
audit=${1:?which pip-audit?}
cd "$(dirname "$0")/.."
packages=$(mktemp)
trap 'rm -f "$packages"' EXIT
status=0
for lock in containers/locks/*.txt; do
  sed -n 's/^\([A-Za-z0-9._-]*==[^ +]*\).*/\1/p' "$lock" >"$packages"
  echo "$lock: $(wc -l <"$packages") packages"
  "$audit" --strict --progress-spinner off --vulnerability-service "${SERVICE:-pypi}" --no-deps \
    --disable-pip -r "$packages" || status=1
done
exit $status
