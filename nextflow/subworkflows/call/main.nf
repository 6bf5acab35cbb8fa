include { SCREADER_BUILDCELLS as BUILD_CELLS } from '../../modules/screader-suite/screader/buildcells/main'
include { SCREADER_PREDICT as PREDICT } from '../../modules/screader-suite/screader/predict/main'
include { SCREADER_GATHER as GATHER } from '../../modules/screader-suite/screader/gather/main'
include { asBefore } from '../options/main'
include { asking } from '../options/main'

// How many shards a file of cells is called in: so many as wanted, or, for 0, by the file's size.
def shardsOf(path, wanted, megabytes) {
    def by_size = Math.ceil(path.size() / (megabytes * 1000000L)) as Integer
    return wanted > 0 ? wanted : Math.max(1, by_size)
}

// The cells of each sample, built as the reader's were and called by it; large samples in shards.
workflow CALL {
    take:
    ch_samples // channel: [ val(meta), path(expression), path(embeddings) ]
    ch_reader // value channel: path of the reader
    shards // integer, 0: by size
    shard_megabytes // integer
    llm // path of a folder, or an empty list
    ontology // path of an OBO file, or an empty list
    options // map: what each step is asked for

    main:
    BUILD_CELLS(
        ch_samples.map { meta, expression, embeddings -> [asking(meta, options.BUILD_CELLS), expression, embeddings, meta.label, meta.donor] },
        ch_reader,
    )
    ch_cells = BUILD_CELLS.out.cells.map { meta, path -> [asBefore(meta), path] }

    ch_parts = ch_cells
        .flatMap { meta, cells ->
            def number = shardsOf(cells, shards, shard_megabytes)
            (1..number).collect { index ->
                [asking(meta, options.PREDICT) + [shards: number], cells, number > 1 ? "${index}/${number}".toString() : '']
            }
        }
        .combine(ch_reader)
        .map { meta, cells, shard, reader -> [meta, cells, reader, shard, ''] }
    PREDICT(ch_parts, llm, ontology)

    ch_predicted = PREDICT.out.predictions.map { meta, path -> [asBefore(meta), path] }
    ch_called = ch_predicted.branch { meta, _path ->
        many: meta.shards > 1
        single: true
    }
    ch_sharded = ch_called.many
        .map { meta, path -> [groupKey(meta, meta.shards), path] }
        .groupTuple()
        .map { key, paths -> [key.getGroupTarget(), paths.toSorted { a, b -> a.name <=> b.name }] }
    GATHER(ch_sharded)

    ch_predictions = ch_called.single
        .mix(GATHER.out.predictions)
        .map { meta, path -> [meta.findAll { key, _value -> key != 'shards' }, path] }

    emit:
    cells = ch_cells // channel: [ val(meta), path(h5ad) ]
    predictions = ch_predictions // channel: [ val(meta), path(h5ad) ]
}
