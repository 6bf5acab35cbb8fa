include { SCREADER_ANNOTATE as ANNOTATE } from '../modules/screader-suite/screader/annotate/main'
include { SCREADER_RUNREPORT as RUN_REPORT } from '../modules/screader-suite/screader/runreport/main'
include { asking } from '../subworkflows/options/main'
include { optionsOf } from '../subworkflows/options/main'

// The mean of a column over the clusters, by their cells.
def meanOf(clusters, name) {
    def cells = clusters.sum { one -> one.cells as long } ?: 0L
    return cells ? clusters.sum { one -> (one.cells as long) * ((one[name] ?: '0') as double) } / cells : 0.0d
}

// What is said of a sample in the run report, from the table of its clusters; as `plot report` writes it.
def summaryOf(sample, table) {
    def lines = table.readLines().collect { line -> line.split('\t', -1).toList() }
    def clusters = lines.drop(1).collect { fields -> [lines[0], fields].transpose().collectEntries { pair -> [pair[0], pair[1]] } }
    def cells = clusters.sum { one -> one.cells as long } ?: 0L
    def labels = clusters
        .groupBy { one -> one.label ?: 'no label' }
        .collect { label, some -> [label: label, cells: some.sum { one -> one.cells as long }] }
        .sort { one -> -one.cells }
    def headers = [
        cells: [title: 'Cells', description: 'Cells that were annotated'],
        labels: [title: 'Labels', description: 'Clusters by their label, with their share of the cells'],
        unassigned: [title: 'Unassigned', description: 'Share of the cells without a label'],
        confidence: [title: 'Confidence', description: 'Mean of the clusters, by their cells'],
        familiarity: [title: 'Familiarity', description: 'Mean of the clusters, by their cells'],
        check: [title: 'To check', description: 'Clusters in which a person should check something'],
    ]
    def row = [
        cells: cells,
        labels: labels.collect { one -> "${one.label} ${Math.round(100.0d * one.cells / cells)}%".toString() }.join(', '),
        unassigned: meanOf(clusters, 'without_label' in lines[0] ? 'without_label' : 'unassigned'),
        confidence: meanOf(clusters, 'confidence'),
        familiarity: 'familiarity' in lines[0] ? meanOf(clusters, 'familiarity') : null,
        check: clusters.count { one -> one.check },
    ]
    return groovy.json.JsonOutput.toJson([headers: headers, data: [(sample): row]])
}

// Each sample's cells, labelled in a copy of its file, with a report: one task a sample.
workflow ANNOTATE_FILES {
    take:
    rows // list of maps: meta (map) and path of each sample
    settings // map of the checked parameters

    main:
    def named = settings.reader instanceof String
    def options = optionsOf(settings)
    ch_samples = channel.fromList(rows).map { row -> [asking(row.meta, options.ANNOTATE), row.path] }
    ANNOTATE(
        ch_samples,
        named ? [] : settings.reader ?: [],
        named ? settings.reader : '',
        settings.llmFolder ?: [],
        settings.examples ?: [],
        settings.types ?: [],
        settings.markers ?: [],
    )

    // All samples' clusters in one table.
    ANNOTATE.out.clusters
        .map { meta, table ->
            table.readLines().withIndex().collect { line, number -> "${number ? meta.id : 'sample'}\t${line}\n" }.join('')
        }
        .collectFile(name: 'clusters.tsv', storeDir: settings.outdir, keepHeader: true, skip: 1, sort: true)

    ch_summaries = ANNOTATE.out.clusters
        .map { meta, table -> ["${meta.id}_mqc.json".toString(), summaryOf(meta.id, table)] }
        .collectFile()
        .toSortedList { a, b -> a.name <=> b.name }
    def names = rows.collect { row -> row.meta.id }
    RUN_REPORT([[id: 'run-report'], names, 'annotated/{}.annotated.html'], ch_summaries)

    emit:
    annotated = ANNOTATE.out.annotated // channel: [ val(meta), path(h5ad), path(tsv) ]
    reports = ANNOTATE.out.report // channel: [ val(meta), path(html) ]
}
