include { SCREADER_CHECKSAMPLE as CHECK_SAMPLE } from '../../modules/screader-suite/screader/checksample/main'
include { asking } from '../options/main'

// A sample as its file is checked: one that is prepared has neither its label nor its final cells yet.
def askedOf(row, prepare) {
    return prepare && row.meta.label == 'label' ? row.meta + [label: ''] : row.meta
}

// The faults of all samples as lines: the sample, its path, what is wrong.
def faultLines(rows, faults_of) {
    return rows.collectMany { row ->
        (faults_of[row.meta.id] ?: []).collect { fault ->
            "sample '${row.meta.id}' (${row.path}): ${fault - "input/${row.path.name}: "}"
        }
    }
}

// The rows of the samples that can be used. Ends the run, naming all faults, where one cannot that must.
def usable(rows, checked) {
    def faults_of = checked.collectEntries { meta, path -> [meta.id, path.readLines()] }
    def lines = faultLines(rows, faults_of)
    if (lines) {
        error("Samples, nothing was computed:\n  ${lines.join('\n  ')}")
    }
    def lost = rows.findAll { row -> row.meta.role == 'train' && !faults_of.containsKey(row.meta.id) }
    if (lost) {
        error("Samples, nothing was computed: ${lost.collect { row -> row.meta.id }.join(', ')} could not be checked")
    }
    return rows.findAll { row -> faults_of.containsKey(row.meta.id) }
}

// Opens every sample's file before anything is paid for: label, donor, species, kind of values, size.
workflow CHECK {
    take:
    rows // list of maps: meta (map) and path of each sample
    prepare // boolean: the samples are prepared first
    pass_over // boolean: a sample to predict that cannot be used fails alone
    options // map: what each step is asked for

    main:
    CHECK_SAMPLE(
        channel.fromList(
            rows.collect { row ->
                def asked = askedOf(row, prepare)
                def fails = pass_over && row.meta.role == 'predict'
                [asking(asked, options.CHECK_SAMPLE), row.path, asked.organism, asked.label, asked.donor, fails]
            }
        )
    )
    ch_usable = CHECK_SAMPLE.out.faults.toList().map { checked -> [usable(rows, checked)] }

    emit:
    passed = ch_usable // channel: [ list of maps as given, those that can be used ], one item
}
