#!/usr/bin/env bash
# Installs the wheel and the source archive of dist/ into new environments and tests them there,
# from outside the checkout: every executable starts, cells are annotated, a reader is trained.
#
#   scripts/test_archives.sh PYTHON [PYTHON...]      ENVIRONMENTS=FOLDER keeps the environments
set -euo pipefail
cd "$(dirname "$0")/.."
checkout=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
folder=${ENVIRONMENTS:-$work}
for python in "$@"; do
  for archive in dist/*.whl dist/*.tar.gz; do
    environment=$folder/$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-${archive##*.}
    if [ ! -d "$environment" ]; then "$python" -m venv "$environment"; fi
    bin=$environment/bin
    "$bin/python" -m pip install --quiet -c requirements/constraints.txt "${archive}[test]"
    "$bin/python" -m pip install --quiet --no-deps -r requirements/embedded.txt
    (
      cd "$work"
      for tool in annotate fetch-descriptions embed-genes build-cells prepare-cells train-reader \
        predict plot; do
        "$bin/$tool" --version >/dev/null
        "$bin/screader-$tool" --version >/dev/null
      done
      # The tests of the archive's own copy, where it has one, on the installed packages.
      tar -xzf "$checkout"/dist/*.tar.gz
      cd screader_suite-*/
      rm -rf screader screader_lib tools # what is installed is what is tested
      "$bin/python" -m pytest --quiet tests/annotation/test_from_python.py tests/tools/test_pipe.py \
        tests/readers tests/exchange
      cd ..
      rm -rf screader_suite-*/
    )
    echo "$("$bin/python" --version) ${archive#dist/}: passed"
  done
done
