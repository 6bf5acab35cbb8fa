include { FETCH_DESCRIPTIONS } from '../../modules/fetch-descriptions/main'
include { EMBED_GENES } from '../../modules/embed-genes/main'

// One text, then one vector, for each gene of an organism.
workflow GENES {
    take:
    genes // channel: [ val(meta), path(expression files or gene lists) ], one item an organism
    gene_info // list of paths, may be empty
    gene_summary // list of paths, may be empty

    main:
    FETCH_DESCRIPTIONS(genes, gene_info, gene_summary)
    EMBED_GENES(FETCH_DESCRIPTIONS.out.descriptions)

    emit:
    descriptions = FETCH_DESCRIPTIONS.out.descriptions // channel: [ val(meta), path(h5ad) ]
    embeddings = EMBED_GENES.out.embeddings // channel: [ val(meta), path(h5ad) ]
}
