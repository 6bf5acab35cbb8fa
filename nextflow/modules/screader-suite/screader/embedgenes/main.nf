process SCREADER_EMBEDGENES {
    tag "${meta.id}"
    label 'process_medium'

    conda "${moduleDir}/environment.yml"
    container "${ workflow.containerEngine in ['singularity', 'apptainer'] ? 'docker://screader:0.1.0' : 'screader:0.1.0' }"

    input:
    tuple val(meta), path(descriptions)

    output:
    tuple val(meta), path("${prefix}.h5ad"), emit: embeddings
    tuple val("${task.process}"), val('embed-genes'), eval('embed-genes --version'), emit: versions_screader, topic: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    def device = task.accelerator ? 'cuda' : 'cpu'
    prefix = task.ext.prefix ?: "${meta.id}.gene-embeddings"
    if ("${descriptions}" == "${prefix}.h5ad") {
        error("SCREADER_EMBEDGENES: input and output are both named ${prefix}.h5ad; set ext.prefix.")
    }
    """
    export OMP_NUM_THREADS=${task.cpus}
    embed-genes \\
        ${descriptions} \\
        --device ${device} \\
        ${args} \\
        -o '${prefix}.h5ad'
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}.gene-embeddings"
    """
    touch '${prefix}.h5ad'
    """
}
