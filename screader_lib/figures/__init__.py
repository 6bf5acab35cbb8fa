"""Pictures and the report.

- ``extras``       imports of the plotting packages, which are an optional extra;
- ``canvas``       a picture: figure, numbers and alternative text; written as PNG, SVG or PDF;
- ``palettes``     colours of types, safe for colour-blind readers;
- ``names``        type names as they are printed;
- ``calls``        a predictions file as the pictures see it;
- ``confusion``, ``training``, ``calibration``, ``methods``  one picture each;
- ``vectors``      the cells' vectors: before reading (mean gene embedding) and after;
- ``projection``   vectors to two dimensions (UMAP);
- ``separation``   silhouette and nearest-neighbour purity;
- ``umap_panels``, ``umap_picture``, ``numbering``  the UMAP panels: what they show, how;
- ``coordinates``  coordinates kept in a file so that the same picture comes again;
- ``gene_map``     the genes' panel;
- ``history``      what was done with what, and the commands to repeat it, from the provenance;
- ``report``, ``report_tables``, ``templates/``  the HTML report;
- ``multiqc``      its measures for MultiQC.
"""
