process SCREADER_PREPARECELLS {
    tag "${meta.id}"
    label 'process_medium'

    conda "${moduleDir}/environment.yml"
    container "${ workflow.containerEngine in ['singularity', 'apptainer'] ? 'docker://screader:0.1.0' : 'screader:0.1.0' }"

    input:
    tuple val(meta), path(expression, stageAs: 'input/*')
    path(markers, stageAs: 'markers?/*')

    output:
    tuple val(meta), path("${prefix}.h5ad"), emit: prepared
    tuple val(meta), path("${prefix}.evidence.tsv"), emit: evidence
    tuple val("${task.process}"), val('prepare-cells'), eval('prepare-cells --version'), emit: versions_screader, topic: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    prefix = task.ext.prefix ?: "${meta.id}.prepared"
    def tables = [markers].flatten().collect { name -> "--markers ${name}" }.join(' ')
    if ("${expression}" == "${prefix}.h5ad") {
        error("SCREADER_PREPARECELLS: input and output are both named ${prefix}.h5ad; set ext.prefix.")
    }
    """
    export OMP_NUM_THREADS=${task.cpus}
    prepare-cells \\
        ${expression} \\
        ${tables} \\
        ${args} \\
        --evidence '${prefix}.evidence.tsv' \\
        -o '${prefix}.h5ad'
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}.prepared"
    """
    touch '${prefix}.h5ad' '${prefix}.evidence.tsv'
    """
}
