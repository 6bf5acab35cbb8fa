#!/usr/bin/env bash
# Makes the workflows' .ga files from the .gxwf.yml files, with the steps laid out for the editor.
# usage: make_workflows.sh FOLDER     FOLDER: an environment with gxformat2, such as .galaxy/planemo
set -euo pipefail
tools=$(realpath "${1:?FOLDER}")
cd "$(dirname "$0")/workflows"
for source in *.gxwf.yml; do
    name=${source%.gxwf.yml}
    "$tools/bin/gxwf-to-native" "$source" "$name.ga"
    "$tools/bin/python" ../lay_out.py "$name.ga"
done
