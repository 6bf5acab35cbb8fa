process SCREADER_VALIDATE {
    tag "${meta.id}"
    label 'process_single'

    conda "${moduleDir}/environment.yml"
    container "${ workflow.containerEngine in ['singularity', 'apptainer'] ? 'docker://screader:0.1.0' : 'screader:0.1.0' }"

    input:
    tuple val(meta), path(files, stageAs: 'input?/*')

    output:
    tuple val(meta), path("${prefix}.txt"), emit: report
    tuple val("${task.process}"), val('screader'), eval('screader validate --version'), emit: versions_screader, topic: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    prefix = task.ext.prefix ?: "${meta.id}.validation"
    def inputs = [files].flatten().collect { name -> "${name}" }.join(' ')
    if ([files].flatten().any { name -> "${name}" == "${prefix}.txt" }) {
        error("SCREADER_VALIDATE: input and output are both named ${prefix}.txt; set ext.prefix.")
    }
    """
    screader validate \\
        ${args} \\
        ${inputs} > '${prefix}.txt' || { cat '${prefix}.txt' >&2; exit 1; }
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}.validation"
    """
    touch '${prefix}.txt'
    """
}
