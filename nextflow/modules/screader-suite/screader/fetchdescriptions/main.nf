process SCREADER_FETCHDESCRIPTIONS {
    tag "${meta.id}"
    label 'process_single'

    conda "${moduleDir}/environment.yml"
    container "${ workflow.containerEngine in ['singularity', 'apptainer'] ? 'docker://screader:0.1.0' : 'screader:0.1.0' }"

    input:
    tuple val(meta), path(genes, stageAs: 'genes?/*'), val(organism)
    path(gene_info, stageAs: 'gene_info?/*')
    path(gene_summary, stageAs: 'gene_summary?/*')

    output:
    tuple val(meta), path("${prefix}.h5ad"), emit: descriptions
    tuple val(meta), path("${prefix}.unmatched.tsv"), emit: unmatched
    tuple val("${task.process}"), val('fetch-descriptions'), eval('fetch-descriptions --version'), emit: versions_screader, topic: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    prefix = task.ext.prefix ?: "${meta.id}.descriptions"
    def named = [genes].flatten().collect { name -> "--genes ${name}" }.join(' ')
    def infos = [gene_info].flatten().collect { name -> "--gene-info ${name}" }.join(' ')
    def summaries = [gene_summary].flatten().collect { name -> "--gene-summary ${name}" }.join(' ')
    if ([genes, gene_info, gene_summary].flatten().any { name -> "${name}" == "${prefix}.h5ad" }) {
        error("SCREADER_FETCHDESCRIPTIONS: input and output are both named ${prefix}.h5ad; set ext.prefix.")
    }
    """
    fetch-descriptions \\
        --organism '${organism}' \\
        ${named} \\
        ${infos} \\
        ${summaries} \\
        ${args} \\
        --unmatched '${prefix}.unmatched.tsv' \\
        -o '${prefix}.h5ad'
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}.descriptions"
    """
    touch '${prefix}.h5ad' '${prefix}.unmatched.tsv'
    """
}
