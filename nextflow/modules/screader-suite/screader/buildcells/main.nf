process SCREADER_BUILDCELLS {
    tag "${meta.id}"
    label 'process_low'

    conda "${moduleDir}/environment.yml"
    container "${ workflow.containerEngine in ['singularity', 'apptainer'] ? 'docker://screader:0.1.0' : 'screader:0.1.0' }"

    input:
    tuple val(meta), path(expression, stageAs: 'input?/*'), path(embeddings, stageAs: 'embeddings/*'), val(label_column), val(donor_column)
    path(like, stageAs: 'like/*')

    output:
    tuple val(meta), path("${prefix}.h5ad"), emit: cells
    tuple val("${task.process}"), val('build-cells'), eval('build-cells --version'), emit: versions_screader, topic: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    prefix = task.ext.prefix ?: "${meta.id}.cells"
    def inputs = [expression].flatten().collect { name -> "${name}" }.join(' ')
    def label = label_column ? "--label '${label_column}'" : ''
    def donor = donor_column ? "--donor '${donor_column}'" : ''
    def construction = like ? "--like ${like}" : ''
    if ([expression, embeddings, like].flatten().any { name -> "${name}" == "${prefix}.h5ad" }) {
        error("SCREADER_BUILDCELLS: input and output are both named ${prefix}.h5ad; set ext.prefix.")
    }
    """
    build-cells \\
        ${inputs} \\
        --embeddings ${embeddings} \\
        ${label} \\
        ${donor} \\
        ${construction} \\
        --threads ${task.cpus} \\
        ${args} \\
        -o '${prefix}.h5ad'
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}.cells"
    """
    touch '${prefix}.h5ad'
    """
}
