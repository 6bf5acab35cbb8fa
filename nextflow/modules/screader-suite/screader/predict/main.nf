process SCREADER_PREDICT {
    tag "${[meta.id, fold ? "fold ${fold}" : shard].join(' ').trim()}"
    label 'process_medium'
    label 'process_gpu'

    conda "${moduleDir}/environment.yml"
    container "${ workflow.containerEngine in ['singularity', 'apptainer'] ? 'docker://screader:0.1.0' : 'screader:0.1.0' }"

    input:
    tuple val(meta), path(cells), path(reader), val(shard), val(fold)
    path(llm, stageAs: 'llm/*')
    path(ontology, stageAs: 'ontology/*')

    output:
    tuple val(meta), path("${prefix}.h5ad"), emit: predictions
    tuple val("${task.process}"), val('predict'), eval('predict --version'), emit: versions_screader, topic: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    def device = task.accelerator ? 'cuda' : 'cpu'
    def model = llm ? "--llm ${llm}" : ''
    def terms = ontology ? "--ontology ${ontology}" : ''
    def held_out = fold ? '--held-out' : ''
    def part = shard ? "--shard ${shard}" : ''
    prefix = task.ext.prefix ?: "${meta.id}.${fold ? 'held-out-' + fold : shard ? 'shard-' + shard.replace('/', '-of-') : 'predictions'}"
    if ("${cells}" == "${prefix}.h5ad") {
        error("SCREADER_PREDICT: input and output are both named ${prefix}.h5ad; set ext.prefix.")
    }
    """
    export OMP_NUM_THREADS=${task.cpus}
    predict \\
        ${cells} \\
        --reader ${reader} \\
        --device ${device} \\
        ${model} \\
        ${terms} \\
        ${held_out} \\
        ${part} \\
        ${args} \\
        -o '${prefix}.h5ad'
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}.${fold ? 'held-out-' + fold : shard ? 'shard-' + shard.replace('/', '-of-') : 'predictions'}"
    """
    touch '${prefix}.h5ad'
    """
}
