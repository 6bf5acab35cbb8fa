include { SCREADER_BUILDCELLS as BUILD_TRAINING_CELLS } from '../../modules/screader-suite/screader/buildcells/main'
include { SCREADER_BUILDCELLS as BUILD_UNLABELLED_CELLS } from '../../modules/screader-suite/screader/buildcells/main'
include { SCREADER_TRAINREADER as TRAIN_READER } from '../../modules/screader-suite/screader/trainreader/main'
include { SCREADER_TRAINREADER as TRAIN_FOLD } from '../../modules/screader-suite/screader/trainreader/main'
include { SCREADER_PREDICT as PREDICT_HELD_OUT } from '../../modules/screader-suite/screader/predict/main'
include { SCREADER_GATHER as GATHER_FOLDS } from '../../modules/screader-suite/screader/gather/main'
include { asBefore } from '../options/main'
include { asking } from '../options/main'

// A reader of all samples; with folds, also every cell's call by a reader that never saw it, nor did
// what selected its genes.
workflow TRAIN {
    take:
    ch_samples // channel: [ val(meta), path(expression files), path(embeddings) ], one item
    folds // integer, 0: no cross-validation
    keep_reader // boolean, false: cross-validation only
    llm // path of a folder, or an empty list
    unlabelled // path of further cells without a label, or an empty list
    options // map: what each step is asked for

    main:
    BUILD_TRAINING_CELLS(
        ch_samples.map { meta, expression, embeddings ->
            [asking(meta, options.BUILD_TRAINING_CELLS), expression, embeddings, meta.label, meta.donor]
        },
        [],
    )
    ch_cells = BUILD_TRAINING_CELLS.out.cells.map { meta, path -> [asBefore(meta), path] }

    ch_unlabelled = channel.value([])
    if (unlabelled) {
        BUILD_UNLABELLED_CELLS(
            ch_samples.map { _meta, _expression, embeddings ->
                [asking([id: 'unlabelled'], options.BUILD_UNLABELLED_CELLS), unlabelled, embeddings, '', '']
            },
            ch_cells.map { _meta, path -> path },
        )
        ch_unlabelled = BUILD_UNLABELLED_CELLS.out.cells.map { _meta, path -> path }.first()
    }

    ch_reader = channel.empty()
    if (keep_reader) {
        TRAIN_READER(ch_cells.map { meta, path -> [asking(meta, options.TRAIN_READER), path, ''] }, llm, ch_unlabelled)
        ch_reader = TRAIN_READER.out.reader.map { meta, _fold, path -> [asBefore(meta), path] }
    }

    ch_out_of_fold = channel.empty()
    if (folds > 1) {
        ch_folds = channel.fromList((1..folds).toList())
        TRAIN_FOLD(
            ch_cells.combine(ch_folds).map { meta, path, fold -> [asking(meta, options.TRAIN_FOLD), path, fold] },
            llm,
            ch_unlabelled,
        )
        ch_fold_readers = TRAIN_FOLD.out.reader.map { meta, fold, path -> [asBefore(meta), fold, path] }
        ch_held_out = ch_cells
            .combine(ch_fold_readers, by: 0)
            .map { meta, path, fold, fold_reader ->
                [asking(meta + [fold: fold], options.PREDICT_HELD_OUT), path, fold_reader, '', fold]
            }
        PREDICT_HELD_OUT(ch_held_out, llm, [])
        ch_parts = PREDICT_HELD_OUT.out.predictions
            .map { meta, path -> [asBefore(meta).findAll { key, _value -> key != 'fold' }, path] }
            .groupTuple(size: folds)
            .map { meta, paths -> [meta, paths.toSorted { a, b -> a.name <=> b.name }] }
        GATHER_FOLDS(ch_parts)
        ch_out_of_fold = GATHER_FOLDS.out.predictions
    }

    emit:
    cells = ch_cells // channel: [ val(meta), path(h5ad) ]
    reader = ch_reader // channel: [ val(meta), path(h5) ], empty without keep_reader
    out_of_fold = ch_out_of_fold // channel: [ val(meta), path(h5ad) ], empty without folds
}
