include { SCREADER_PLOT as PLOT } from '../../modules/screader-suite/screader/plot/main'
include { SCREADER_VALIDATE as VALIDATE } from '../../modules/screader-suite/screader/validate/main'
include { SCREADER_RUNREPORT as RUN_REPORT } from '../../modules/screader-suite/screader/runreport/main'
include { asking } from '../options/main'

// Whether a picture can be drawn: some need known labels, some the calls of one reader.
def drawable(picture, meta) {
    def needs_labels = picture in ['confusion', 'metrics', 'calibration']
    def needs_one_reader = picture in ['umap', 'genes']
    return (meta.labelled || !needs_labels) && !(meta.gathered && needs_one_reader)
}

// Pictures and a report of each sample, and one report of the run.
workflow REPORT {
    take:
    ch_called // channel: [ val(meta), path(predictions), path(cells), path(reader) or an empty list ]
    pictures // list of names of pictures
    names // list of the samples' names
    validate // boolean
    options // map: what each step is asked for

    main:
    ch_pictures = ch_called.flatMap { meta, predictions, cells, reader ->
        pictures
            .findAll { picture -> drawable(picture, meta) }
            .collect { picture ->
                [
                    asking(meta, options.PLOT),
                    picture,
                    predictions,
                    picture == 'report' ? reader : [],
                    picture in ['report', 'umap'] ? cells : [],
                ]
            }
    }
    PLOT(ch_pictures)

    if (validate) {
        VALIDATE(ch_called.map { meta, predictions, _cells, _reader -> [meta, predictions] })
    }

    ch_summaries = PLOT.out.multiqc
        .map { _meta, path -> path }
        .toSortedList { a, b -> a.name <=> b.name }
    RUN_REPORT([[id: 'run-report'], names, 'reports/{}.report.html'], ch_summaries)

    emit:
    drawn = PLOT.out.picture // channel: [ val(meta), val(picture), path ]
    report = RUN_REPORT.out.report // channel: [ val(meta), path(html) ]
}
