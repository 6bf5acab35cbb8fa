include { SCREADER_PREPARECELLS as PREPARE_CELLS } from '../modules/screader-suite/screader/preparecells/main'
include { SCREADER_PREPARECELLS as PREPARE_TRAINING_CELLS } from '../modules/screader-suite/screader/preparecells/main'
include { SCREADER_VALIDATE as VALIDATE_READER } from '../modules/screader-suite/screader/validate/main'
include { CHECK } from '../subworkflows/check/main'
include { GENES } from '../subworkflows/genes/main'
include { TRAIN } from '../subworkflows/train/main'
include { CALL } from '../subworkflows/call/main'
include { REPORT } from '../subworkflows/report/main'
include { asBefore } from '../subworkflows/options/main'
include { asking } from '../subworkflows/options/main'
include { optionsOf } from '../subworkflows/options/main'

// The samples that a reader learns from, as one item; their label, donor and embeddings are the same.
def pooled(items) {
    def first = items[0][0]
    def meta = [id: 'reader', label: first.label, donor: first.donor, labelled: true]
    return [meta, items.collect { item -> item[1] }, items[0][2]]
}

// From samples to calls and reports, for each of the entry points: train, annotate, evaluate.
workflow SCREADER {
    take:
    rows // list of maps: meta (map) and path of each sample
    settings // map of the checked parameters

    main:
    def llm = settings.llmFolder ?: []
    def training = rows.findAll { row -> row.meta.role == 'train' }
    def calling = rows.findAll { row -> row.meta.role == 'predict' }
    def keep_reader = settings.mode == 'train'
    def options = optionsOf(settings)

    CHECK(rows, settings.prepare, settings.continueOnError, options)
    ch_samples = CHECK.out.passed.flatMap { usable -> usable[0].collect { row -> [row.meta, row.path] } }
    ch_organisms = CHECK.out.passed.flatMap { usable -> usable[0].groupBy { row -> row.meta.organism }.collect { name, own -> [name, own] } }
    if (settings.prepare) {
        ch_asked = ch_samples
            .map { meta, path -> [asking(meta, options.PREPARE_CELLS), path] }
            .branch { meta, _path ->
                train: meta.role == 'train'
                predict: true
            }
        PREPARE_TRAINING_CELLS(ch_asked.train, settings.markers ?: [])
        PREPARE_CELLS(ch_asked.predict, settings.markers ?: [])
        ch_samples = PREPARE_TRAINING_CELLS.out.prepared
            .mix(PREPARE_CELLS.out.prepared)
            .map { meta, path -> [asBefore(meta), path] }
    }

    ch_embeddings = channel.empty()
    if (settings.embeddings) {
        ch_embeddings = ch_organisms.map { name, _own -> [name, settings.embeddings] }
    } else {
        ch_genes = ch_organisms.map { name, own ->
            [[id: name.replace(' ', '_'), organism: name], settings.genes ? [settings.genes] : own.collect { row -> row.path }.unique()]
        }
        GENES(ch_genes, settings.geneInfo ?: [], settings.geneSummary ?: [], options)
        ch_embeddings = GENES.out.embeddings.map { meta, path -> [meta.organism, path] }
    }

    ch_ready = ch_samples
        .map { meta, path -> [meta.organism, meta, path] }
        .combine(ch_embeddings, by: 0)
        .map { _organism, meta, path, embeddings -> [meta, path, embeddings] }

    ch_reader = channel.empty()
    ch_called = channel.empty()
    if (settings.reader) {
        ch_reader = channel.value(settings.reader)
    }
    if (training) {
        ch_training = ch_ready
            .filter { meta, _path, _embeddings -> meta.role == 'train' }
            .toSortedList { a, b -> a[0].id <=> b[0].id }
            .flatMap { items -> items ? [pooled(items)] : [] }
        TRAIN(ch_training, settings.folds, keep_reader, llm, settings.unlabelled ?: [], options)
        ch_fold_calls = TRAIN.out.out_of_fold
            .join(TRAIN.out.cells)
            .map { meta, predictions, cells -> [meta + [id: 'out-of-fold', gathered: true], predictions, cells] }
        if (keep_reader) {
            ch_reader = TRAIN.out.reader.map { _meta, path -> path }.first()
            ch_called = ch_fold_calls.combine(ch_reader)
        } else {
            ch_called = ch_fold_calls.map { meta, predictions, cells -> [meta, predictions, cells, []] }
        }
    }
    if (calling) {
        CALL(
            ch_ready.filter { meta, _path, _embeddings -> meta.role == 'predict' },
            ch_reader,
            settings.shards,
            settings.shardMegabytes,
            llm,
            settings.ontology ?: [],
            options,
        )
        ch_called = ch_called.mix(CALL.out.predictions.join(CALL.out.cells).combine(ch_reader))
    }

    if (settings.validate && (settings.reader || keep_reader)) {
        VALIDATE_READER(ch_reader.map { path -> [[id: 'reader'], path] })
    }

    def names = calling.collect { row -> row.meta.id } + (training && settings.folds > 1 ? ['out-of-fold'] : [])
    def pictures = ['report'] + (settings.plots ? settings.plots.tokenize(',').collect { name -> name.trim() } : [])
    REPORT(ch_called, pictures.unique(), names, settings.validate, options)

    emit:
    report = REPORT.out.report // channel: [ val(meta), path(html) ]
}
