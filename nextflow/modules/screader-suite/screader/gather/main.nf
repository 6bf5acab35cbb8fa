process SCREADER_GATHER {
    tag "${meta.id}"
    label 'process_single'

    conda "${moduleDir}/environment.yml"
    container "${ workflow.containerEngine in ['singularity', 'apptainer'] ? 'docker://screader:0.1.0' : 'screader:0.1.0' }"

    input:
    tuple val(meta), path(predictions, stageAs: 'part?/*')

    output:
    tuple val(meta), path("${prefix}.h5ad"), emit: predictions
    tuple val("${task.process}"), val('screader'), eval('screader gather --version'), emit: versions_screader, topic: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    prefix = task.ext.prefix ?: "${meta.id}.predictions"
    def parts = [predictions].flatten().collect { name -> "${name}" }.join(' ')
    if ([predictions].flatten().any { name -> "${name}" == "${prefix}.h5ad" }) {
        error("SCREADER_GATHER: input and output are both named ${prefix}.h5ad; set ext.prefix.")
    }
    """
    screader gather \\
        ${parts} \\
        ${args} \\
        -o '${prefix}.h5ad'
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}.predictions"
    """
    touch '${prefix}.h5ad'
    """
}
