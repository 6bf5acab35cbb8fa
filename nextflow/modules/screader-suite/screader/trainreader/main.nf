process SCREADER_TRAINREADER {
    tag "${fold ? meta.id + ' fold ' + fold : meta.id}"
    label 'process_high'
    label 'process_gpu'

    conda "${moduleDir}/environment.yml"
    container "${ workflow.containerEngine in ['singularity', 'apptainer'] ? 'docker://screader:0.1.0' : 'screader:0.1.0' }"

    input:
    tuple val(meta), path(cells), val(fold)
    path(llm, stageAs: 'llm/*')
    path(unlabelled, stageAs: 'unlabelled?/*')

    output:
    tuple val(meta), val(fold), path("${prefix}.h5"), emit: reader
    tuple val("${task.process}"), val('train-reader'), eval('train-reader --version'), emit: versions_screader, topic: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    def device = task.accelerator ? 'cuda' : 'cpu'
    def model = llm ? "--llm ${llm}" : ''
    def others = [unlabelled].flatten().collect { name -> "--unlabelled ${name}" }.join(' ')
    def part = fold ? "--fold ${fold}" : ''
    prefix = task.ext.prefix ?: (fold ? "${meta.id}.fold-${fold}" : "${meta.id}")
    def state = task.ext.prefix2 ? "--checkpoint '${task.ext.prefix2}/${prefix}.checkpoint'" : ''
    if ("${cells}" == "${prefix}.h5") {
        error("SCREADER_TRAINREADER: input and output are both named ${prefix}.h5; set ext.prefix.")
    }
    """
    export OMP_NUM_THREADS=${task.cpus}
    train-reader \\
        ${cells} \\
        --device ${device} \\
        ${model} \\
        ${others} \\
        ${part} \\
        ${state} \\
        ${args} \\
        -o '${prefix}.h5'
    """

    stub:
    prefix = task.ext.prefix ?: (fold ? "${meta.id}.fold-${fold}" : "${meta.id}")
    """
    touch '${prefix}.h5'
    """
}
