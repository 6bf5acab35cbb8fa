// What the pipeline makes of given parameters and sample sheets, each on its own, as JSON.

include { checkedSettings } from '../../nextflow/subworkflows/parameters/main'
include { readSamples } from '../../nextflow/subworkflows/samples/main'
include { shardsOf } from '../../nextflow/subworkflows/call/main'

// The settings and samples of one case, or why they were refused.
def taken(given, pipeline) {
    try {
        def settings = checkedSettings(given, file("${pipeline}/nextflow_schema.json"))
        def rows = readSamples(settings, file("${pipeline}/assets/schema_input.json"))
        return [
            settings: settings.collectEntries { name, value -> [name, value == null ? null : value.toString()] },
            samples: rows.collect { row -> row.meta },
        ]
    }
    catch (Exception refused) {
        return [refused: (refused.cause ?: refused).message]
    }
}

workflow {
    def pipeline = file("${projectDir}/../../nextflow")
    def asked = new groovy.json.JsonSlurper().parseText(file(params.cases).text)
    def large = file(params.large)
    def result = [
        cases: asked.collectEntries { name, given -> [name, taken(given, pipeline)] },
        shards: [shardsOf(large, 0, 1000), shardsOf(large, 0, 4295), shardsOf(large, 2, 1000)],
    ]
    file(params.result).text = groovy.json.JsonOutput.toJson(result)
}
