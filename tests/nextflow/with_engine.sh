#!/usr/bin/env bash
# The pipeline under Nextflow itself, with each parser that the engine on the PATH can run with:
#
#     tests/nextflow/with_engine.sh [PYTEST OPTION...]
#
# SAMPLES=1000 adds a run of so many samples as stubs.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export NXF_OFFLINE=true NXF_ANSI_LOG=false NXF_DISABLE_CHECK_LATEST=true NEXTFLOW_CHECKS=all

command -v nextflow >/dev/null || { echo "nextflow is not on the PATH: no run under Nextflow itself was made"; exit 0; }

# Some builds of an engine read a workflow with the strict parser, but lose its outputs.
cat >"$folder/main.nf" <<'NF'
workflow INNER {
    main:
    ch = channel.of('whole')

    emit:
    found = ch
}

workflow {
    INNER()
    INNER.out.found.view()
}
NF

status=0
for parser in v1 v2; do
    export NXF_SYNTAX_PARSER=$parser
    if (cd "$folder" && nextflow run main.nf 2>&1) | grep -q '^whole'; then
        echo "Nextflow with the parser $parser"
        "$here/../../.venv/bin/python" -m pytest "$@" "$here"/test_engine_*.py || status=$?
    else
        echo "this Nextflow cannot run workflows with the parser $parser: no such run was made"
    fi
done
exit $status
