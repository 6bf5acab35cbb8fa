process SCREADER_PLOT {
    tag "${meta.id} ${picture}"
    label 'process_single'

    conda "${moduleDir}/environment.yml"
    container "${ workflow.containerEngine in ['singularity', 'apptainer'] ? 'docker://screader:0.1.0' : 'screader:0.1.0' }"

    input:
    tuple val(meta), val(picture), path(files, stageAs: 'input?/*'), path(reader, stageAs: 'reader/*'), path(cells, stageAs: 'cells/*')

    output:
    tuple val(meta), val(picture), path("${prefix}.${suffix}"), emit: picture
    tuple val(meta), path("${prefix}_mqc.json"), emit: multiqc, optional: true
    tuple val("${task.process}"), val('plot'), eval('plot --version'), emit: versions_screader, topic: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    prefix = task.ext.prefix ?: "${meta.id}.${picture}"
    def format = args =~ /-format[ =](\w+)/
    suffix = picture == 'report' ? 'html' : format.find() ? format.group(1) : 'png'
    def inputs = [files].flatten().collect { name -> "${name}" }.join(' ')
    def trained = reader ? "--reader ${reader}" : ''
    def before = cells ? "--cells ${cells}" : ''
    def multiqc = picture == 'report' ? "--multiqc '${prefix}_mqc.json' --sample '${meta.id}'" : ''
    if ([files, reader, cells].flatten().any { name -> "${name}" == "${prefix}.${suffix}" }) {
        error("SCREADER_PLOT: input and output are both named ${prefix}.${suffix}; set ext.prefix.")
    }
    """
    if [ ! -w "\${HOME:-/}" ]; then
        export MPLCONFIGDIR="\${MPLCONFIGDIR:-\$PWD/.matplotlib}"
        export NUMBA_CACHE_DIR="\${NUMBA_CACHE_DIR:-\$PWD/.numba}"
    fi
    export OMP_NUM_THREADS=${task.cpus} NUMBA_NUM_THREADS=${task.cpus}
    plot ${picture} \\
        ${inputs} \\
        ${trained} \\
        ${before} \\
        ${multiqc} \\
        ${args} \\
        -o '${prefix}.${suffix}'
    """

    stub:
    def options = task.ext.args ?: ''
    prefix = task.ext.prefix ?: "${meta.id}.${picture}"
    def asked = options =~ /-format[ =](\w+)/
    suffix = picture == 'report' ? 'html' : asked.find() ? asked.group(1) : 'png'
    def summary = picture == 'report' ? "'${prefix}_mqc.json'" : ''
    """
    touch '${prefix}.${suffix}' ${summary}
    """
}
