process SCREADER_RUNREPORT {
    tag "${meta.id}"
    label 'process_single'

    conda "${moduleDir}/environment.yml"
    container "${ workflow.containerEngine in ['singularity', 'apptainer'] ? 'docker://screader:0.1.0' : 'screader:0.1.0' }"

    input:
    tuple val(meta), val(samples), val(link)
    path(summaries, stageAs: 'summaries/*')

    output:
    tuple val(meta), path("${prefix}.html"), emit: report
    tuple val(meta), path("${prefix}.tsv"), emit: table
    tuple val("${task.process}"), val('python'), eval('python3 --version'), emit: versions_python, topic: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    mkdir -p summaries
    printf '%s\\n' ${samples.join(' ')} > samples.txt
    run_report.py \\
        --samples samples.txt \\
        --summaries summaries \\
        --link '${link}' \\
        ${args} \\
        -o '${prefix}'
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    touch '${prefix}.html' '${prefix}.tsv'
    """
}
