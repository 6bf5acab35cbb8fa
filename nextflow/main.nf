#!/usr/bin/env nextflow

include { checkedSettings } from './subworkflows/parameters/main'
include { parameterHelp } from './subworkflows/parameters/main'
include { readSamples } from './subworkflows/samples/main'
include { SCREADER } from './workflows/screader'

// Says at the end of a run how many tasks it went on without.
def tellIgnored(run) {
    if (run.success && run.stats.ignoredCount > 0) {
        log.warn("${run.stats.ignoredCount} tasks failed and were ignored; the run report names the samples without predictions.")
    }
}

workflow {
    main:
    def schema = file("${projectDir}/nextflow_schema.json", glob: false)
    if ("${params.help}" == 'true') {
        log.info(parameterHelp(schema))
    } else {
        def settings = checkedSettings(params, schema)
        def rows = readSamples(settings, file("${projectDir}/assets/schema_input.json", glob: false))
        log.info("scReader ${workflow.manifest.version}: ${settings.mode}, ${rows.size()} samples, results in ${settings.outdir}")
        SCREADER(rows, settings)

        channel.topic('versions')
            .map { name, tool, version ->
                "${name.tokenize(':')[-1]}:\n    ${tool}: ${version.tokenize(' ')[-1]}".toString()
            }
            .unique()
            .collectFile(name: 'versions.yml', storeDir: "${settings.outdir}/pipeline_info", sort: true, newLine: true, cache: false)
    }

    def run = workflow // in an event handler, `workflow` is not known by this name
    workflow.onComplete {
        tellIgnored(run)
    }
}
