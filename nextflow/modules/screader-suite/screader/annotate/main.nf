process SCREADER_ANNOTATE {
    tag "${meta.id}"
    label 'process_medium'
    label 'process_gpu'

    conda "${moduleDir}/environment.yml"
    container "${ workflow.containerEngine in ['singularity', 'apptainer'] ? 'docker://screader:0.1.0' : 'screader:0.1.0' }"

    input:
    tuple val(meta), path(expression, stageAs: 'input?/*')
    path(reader, stageAs: 'reader/*')
    val(reader_name)
    path(llm, stageAs: 'llm/*')
    path(examples, stageAs: 'examples/*')
    path(types, stageAs: 'types?/*')
    path(markers, stageAs: 'markers?/*')

    output:
    tuple val(meta), path("${prefix}.h5ad"), path("${prefix}.tsv"), emit: annotated
    tuple val(meta), path("${prefix}.clusters.tsv"), emit: clusters
    tuple val(meta), path("${prefix}.html"), emit: report
    tuple val("${task.process}"), val('annotate'), eval('annotate --version'), emit: versions_screader, topic: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    def device = task.accelerator ? 'cuda' : 'cpu'
    def inputs = [expression].flatten().collect { name -> "${name}" }.join(' ')
    def model = llm ? "--llm ${llm}" : ''
    def given = [
        reader: reader ?: reader_name ?: [],
        examples: examples,
        types: types,
        markers: markers,
    ]
    def sources = given.collectMany { name, files -> [files].flatten().collect { one -> "--${name} ${one}" } }.join(' ')
    prefix = task.ext.prefix ?: "${meta.id}.annotated"
    if ([expression, reader].flatten().any { name -> "${name}" == "${prefix}.h5ad" }) {
        error("SCREADER_ANNOTATE: input and output are both named ${prefix}.h5ad; set ext.prefix.")
    }
    """
    export OMP_NUM_THREADS=${task.cpus}
    annotate \\
        ${inputs} \\
        ${sources} \\
        --device ${device} \\
        --threads ${task.cpus} \\
        ${model} \\
        ${args} \\
        --calls '${prefix}.tsv' \\
        --cluster-table '${prefix}.clusters.tsv' \\
        --report '${prefix}.html' \\
        -o '${prefix}.h5ad'
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}.annotated"
    """
    touch '${prefix}.h5ad' '${prefix}.tsv' '${prefix}.clusters.tsv' '${prefix}.html'
    """
}
