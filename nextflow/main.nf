#!/usr/bin/env nextflow

include { checkedSettings } from './subworkflows/parameters/main'
include { parameterHelp } from './subworkflows/parameters/main'
include { tellFailures } from './subworkflows/failures/main'
include { readSamples } from './subworkflows/samples/main'
include { ANNOTATE_FILES } from './workflows/annotate_files'
include { SCREADER } from './workflows/screader'

workflow {
    main:
    def schema = file("${projectDir}/nextflow_schema.json", glob: false)
    if ("${params.help}" == 'true') {
        log.info(parameterHelp(schema))
    } else {
        def settings = checkedSettings(params, schema)
        def rows = readSamples(settings, file("${projectDir}/assets/schema_input.json", glob: false))
        log.info("scReader ${workflow.manifest.version}: ${settings.mode}, ${rows.size()} ${rows.size() == 1 ? 'sample' : 'samples'}, results in ${settings.outdir}")
        def profile = [settings.config_profile_name, settings.config_profile_description, settings.config_profile_contact, settings.config_profile_url]
        if (profile.any()) {
            log.info("Profile of the institution: ${profile.findAll().join(', ')}")
        }
        if (settings.mode == 'annotate-files') {
            ANNOTATE_FILES(rows, settings)
        } else {
            SCREADER(rows, settings)
        }

        channel.topic('versions')
            .map { name, tool, version ->
                "${name.tokenize(':')[-1]}:\n    ${tool}: ${version.tokenize(' ')[-1]}".toString()
            }
            .unique()
            .collectFile(name: 'versions.yml', storeDir: "${settings.outdir}/pipeline_info", sort: true, newLine: true, cache: false)
    }

    def run = workflow // in an event handler, neither is known by its name
    def given = params
    workflow.onComplete {
        if (run.stats.ignoredCount > 0) {
            tellFailures(given)
        }
    }
}
