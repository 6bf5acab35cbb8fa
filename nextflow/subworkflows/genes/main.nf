include { SCREADER_FETCHDESCRIPTIONS as FETCH_DESCRIPTIONS } from '../../modules/screader-suite/screader/fetchdescriptions/main'
include { SCREADER_EMBEDGENES as EMBED_GENES } from '../../modules/screader-suite/screader/embedgenes/main'
include { asking } from '../options/main'

// One text, then one vector, for each gene of an organism.
workflow GENES {
    take:
    genes // channel: [ val(meta), path(expression files or gene lists) ], one item an organism
    gene_info // list of paths, may be empty
    gene_summary // list of paths, may be empty
    options // map: what each step is asked for

    main:
    FETCH_DESCRIPTIONS(
        genes.map { meta, paths -> [asking(meta, options.FETCH_DESCRIPTIONS), paths, meta.organism] },
        gene_info,
        gene_summary,
    )
    EMBED_GENES(FETCH_DESCRIPTIONS.out.descriptions.map { meta, path -> [asking(meta, options.EMBED_GENES), path] })

    emit:
    descriptions = FETCH_DESCRIPTIONS.out.descriptions // channel: [ val(meta), path(h5ad) ]
    embeddings = EMBED_GENES.out.embeddings // channel: [ val(meta), path(h5ad) ]
}
