#!/usr/bin/env bash
# The pipeline under Nextflow itself, with both parsers:
#
#     tests/nextflow/with_engine.sh [FOLDER]
#
# The test profile for real, again with -resume, as stubs, its reader on another sample, an
# evaluation, a bad sheet, a sample that fails while others go on, and a run killed and taken up
# again. SAMPLES=1000 adds a stub run of so many.
set -euo pipefail

here=$(cd "$(dirname "$0")/../.." && pwd)
pipeline=$here/nextflow
folder=$(mkdir -p "${1:-$here/.nextflow-tools/runs}" && cd "${1:-$here/.nextflow-tools/runs}" && pwd)
export PATH="$here/.venv/bin:$PATH" NXF_ANSI_LOG=false NXF_OFFLINE=true NXF_DISABLE_CHECK_LATEST=true

say() { printf '== %s\n' "$*"; }
fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }

# run NAME PARAMETER...: one run in its own folder, what it says in NAME/said
run() {
    local name=$1
    shift
    mkdir -p "$folder/$name"
    (cd "$folder/$name" && nextflow run "$pipeline/main.nf" -profile test --outdir out "$@" >said 2>&1)
}

# tasks NAME STATUS: how many tasks of the last run ended so
tasks() {
    local traces # in the order of their times; where v2 reads --outdir too late, in results
    mapfile -t traces < <(ls "$folder/$1"/{out,results}/pipeline_info/execution_trace_*.tsv 2>/dev/null)
    [ "${#traces[@]}" -gt 0 ] || fail "$1: no trace of the tasks"
    awk -F'\t' -v wanted="$2" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "status") s = i; next } $s == wanted' \
        "${traces[-1]}" | wc -l
}

called() { grep -c "$(printf '\tcalled\t')" "$folder/$1/out/run-report.tsv"; }

for parser in v1 v2; do
    export NXF_SYNTAX_PARSER=$parser
    say "$parser: stubs"
    run "$parser-stub" -stub-run || { cat "$folder/$parser-stub/said"; fail "$parser: stubs"; }

    say "$parser: real cells"
    run "$parser" || { cat "$folder/$parser/said"; fail "$parser: real cells"; }
    [ "$(called "$parser")" = 3 ] || fail "$parser: calls of two samples and out of fold"
    ls "$folder/$parser/out/readers/reader.h5" "$folder/$parser/out/predictions/donor-2.predictions.h5ad" \
        "$folder/$parser/out/reports/donor-2.report.html" "$folder/$parser/out/pipeline_info/versions.yml" >/dev/null

    say "$parser: -resume does nothing again"
    run "$parser" -resume || { cat "$folder/$parser/said"; fail "$parser: resume"; }
    [ "$(tasks "$parser" COMPLETED)" = 0 ] || fail "$parser: -resume ran $(tasks "$parser" COMPLETED) tasks"
    [ "$(tasks "$parser" CACHED)" -gt 20 ] || fail "$parser: -resume found too few tasks"

    say "$parser: -resume with another parameter does what reads it"
    run "$parser" -resume --min-confidence 0.9 || { cat "$folder/$parser/said"; fail "$parser: another parameter"; }
    [ "$(tasks "$parser" COMPLETED)" -gt 4 ] || fail "$parser: the new --min-confidence was not seen"
    [ "$(tasks "$parser" CACHED)" -ge 8 ] || fail "$parser: training was done again"

    say "$parser: the reader calls another sample"
    printf 'sample,path\nd,%s\n' "$pipeline/assets/test/other.h5ad" >"$folder/annotate.csv"
    run "$parser-annotate" --mode annotate --input "$folder/annotate.csv" --reader "$folder/$parser/out/readers/reader.h5" ||
        { cat "$folder/$parser-annotate/said"; fail "$parser: annotate"; }
    [ "$(called "$parser-annotate")" = 1 ] || fail "$parser: calls of the other sample"

    say "$parser: readers are evaluated"
    printf 'sample,path\na,%s\n' "$pipeline/assets/test/train.h5ad" >"$folder/evaluate.csv"
    run "$parser-evaluate" --mode evaluate --input "$folder/evaluate.csv" --method pooled \
        "--train-options=--warm-start-epochs 2" || { cat "$folder/$parser-evaluate/said"; fail "$parser: evaluate"; }
    [ "$(called "$parser-evaluate")" = 1 ] || fail "$parser: calls out of fold"

    say "$parser: a bad sheet"
    printf 'sample,path,role\na b,nowhere.h5ad,train\n' >"$folder/bad.csv"
    ! run "$parser-bad" --input "$folder/bad.csv" || fail "$parser: a bad sheet was taken"
    grep -q "line 2: path: there is no 'nowhere.h5ad'" "$folder/$parser-bad/said" || fail "$parser: what the sheet lacks"

    say "$parser: one sample fails, the others go on"
    head -c 5000 "$pipeline/assets/test/other.h5ad" >"$folder/broken.h5ad"
    printf 'sample,path,role\na,%s,train\nb,%s,predict\nc,%s,predict\n' "$pipeline/assets/test/train.h5ad" \
        "$pipeline/assets/test/predict.h5ad" "$folder/broken.h5ad" >"$folder/one-broken.csv"
    given=(--input "$folder/one-broken.csv" --genes "$pipeline/assets/test/train.h5ad" --method pooled
        "--train-options=--warm-start-epochs 2" --plots confusion)
    ! run "$parser-stops" "${given[@]}" || fail "$parser: a broken sample was taken"
    run "$parser-goes-on" "${given[@]}" --continue-on-error || { cat "$folder/$parser-goes-on/said"; fail "$parser: going on"; }
    grep -q "^c$(printf '\t')failed" "$folder/$parser-goes-on/out/run-report.tsv" || fail "$parser: the failed sample is not named"
    [ "$(called "$parser-goes-on")" = 2 ] || fail "$parser: the others have no calls"

    say "$parser: killed and taken up again"
    mkdir -p "$folder/$parser-killed"
    (cd "$folder/$parser-killed" && exec nextflow run "$pipeline/main.nf" -profile test --outdir out >said 2>&1) &
    process=$!
    for _ in $(seq 600); do
        grep -q 'Submitted process > .*TRAIN_\(READER\|FOLD\)' "$folder/$parser-killed/said" 2>/dev/null && break
        sleep 1
    done
    kill -TERM "$process" && wait "$process" || true
    run "$parser-killed" -resume || { cat "$folder/$parser-killed/said"; fail "$parser: after the kill"; }
    [ "$(tasks "$parser-killed" CACHED)" -ge 3 ] || fail "$parser: what was done was done again"
    [ "$(called "$parser-killed")" = 3 ] || fail "$parser: calls after the kill"

    if [ "${SAMPLES:-0}" -gt 0 ]; then
        say "$parser: $SAMPLES samples as stubs"
        mkdir -p "$folder/many"
        echo 'sample,path,role' >"$folder/many.csv"
        for number in $(seq "$SAMPLES"); do
            ln -sf "$pipeline/assets/test/predict.h5ad" "$folder/many/$number.h5ad"
            echo "sample-$number,$folder/many/$number.h5ad,$([ $((number % 2)) = 0 ] && echo train || echo predict)"
        done >>"$folder/many.csv"
        run "$parser-many" -stub-run --input "$folder/many.csv" || { cat "$folder/$parser-many/said"; fail "$parser: many samples"; }
    fi
done
say "all runs under Nextflow did what they should"
