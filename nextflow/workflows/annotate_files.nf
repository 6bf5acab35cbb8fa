include { ANNOTATE } from '../modules/annotate/main'
include { asking } from '../subworkflows/options/main'
include { optionsOf } from '../subworkflows/options/main'

// Each sample's cells, labelled by a reader in a copy of its file, with a report: one task a sample.
workflow ANNOTATE_FILES {
    take:
    rows // list of maps: meta (map) and path of each sample
    settings // map of the checked parameters

    main:
    def named = settings.reader instanceof String
    def options = optionsOf(settings)
    ch_samples = channel.fromList(rows).map { row -> [asking(row.meta, options.ANNOTATE), row.path] }
    ANNOTATE(ch_samples, named ? [] : settings.reader, named ? settings.reader : '', settings.llmFolder ?: [])

    // All samples' clusters in one table.
    ANNOTATE.out.clusters
        .map { meta, table ->
            table.readLines().withIndex().collect { line, number -> "${number ? meta.id : 'sample'}\t${line}\n" }.join('')
        }
        .collectFile(name: 'clusters.tsv', storeDir: settings.outdir, keepHeader: true, skip: 1, sort: true)

    emit:
    annotated = ANNOTATE.out.annotated // channel: [ val(meta), path(h5ad), path(tsv) ]
    reports = ANNOTATE.out.report // channel: [ val(meta), path(html) ]
}
