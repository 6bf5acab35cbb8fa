process SCREADER_CHECKSAMPLE {
    tag "${meta.id}"
    label 'process_single'

    conda "${moduleDir}/environment.yml"
    container "${ workflow.containerEngine in ['singularity', 'apptainer'] ? 'docker://screader:0.1.0' : 'screader:0.1.0' }"

    input:
    tuple val(meta), path(expression, stageAs: 'input/*'), val(organism), val(label_column), val(donor_column), val(fails)

    output:
    tuple val(meta), path("${prefix}.txt"), emit: faults
    tuple val("${task.process}"), val('build-cells'), eval('build-cells --version'), emit: versions_screader, topic: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    prefix = task.ext.prefix ?: "${meta.id}.faults"
    def label = label_column ? "--label '${label_column}'" : ''
    def donor = donor_column ? "--donor '${donor_column}'" : ''
    def ending = fails ? "{ cat '${prefix}.txt' >&2; exit 1; }" : 'true'
    """
    status=0
    build-cells \\
        ${expression} \\
        --check '${organism}' \\
        ${label} \\
        ${donor} \\
        ${args} > checked.txt || status=\$?
    sed -n 's/^bad: //p' checked.txt > '${prefix}.txt'
    [ "\$status" -eq 0 ] || { [ "\$status" -eq 1 ] && [ -s '${prefix}.txt' ]; } || exit "\$status"
    [ ! -s '${prefix}.txt' ] || ${ending}
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}.faults"
    """
    touch '${prefix}.txt'
    """
}
