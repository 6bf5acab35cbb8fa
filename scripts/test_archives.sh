#!/usr/bin/env bash
# Installs the wheel of dist/, then in its place the source archive, into a new environment, and
# tests each there: all executables start, and tests of the source archive's own copy pass.
#
#   scripts/test_archives.sh PYTHON [PYTHON...]      ENVIRONMENTS=FOLDER keeps the environments
set -euo pipefail
cd "$(dirname "$0")/.."
dist=$PWD/dist
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for python in "$@"; do
  version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  environment=${ENVIRONMENTS:-$work}/py$version
  if [ ! -d "$environment" ]; then "$python" -m venv "$environment"; fi
  inside=$environment/bin/python
  "$inside" -m pip install --quiet -c requirements/constraints.txt "$(echo "$dist"/*.whl)[test]"
  "$inside" -m pip install --quiet --no-deps -r requirements/embedded.txt
  for archive in "$dist"/*.whl "$dist"/*.tar.gz; do
    "$inside" -m pip install --quiet --force-reinstall --no-deps "$archive"
    (
      rm -rf "$work/source"
      mkdir "$work/source"
      cd "$work/source"
      tar -xzf "$dist"/*.tar.gz --strip-components=1
      rm -rf screader screader_lib tools # what is installed is what is tested
      for tool in annotate fetch-descriptions embed-genes build-cells prepare-cells train-reader \
        predict plot; do
        "$environment/bin/$tool" --version >/dev/null
        "$environment/bin/screader-$tool" --version >/dev/null
      done
      "$inside" -m pytest --quiet tests/annotation/test_from_python.py tests/tools/test_pipe.py \
        tests/readers tests/exchange tests/test_gguf_files.py
    )
    echo "Python $version, ${archive##*/}: passed"
  done
done
