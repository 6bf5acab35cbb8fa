"""Pictures and the HTML report. Each picture has a figure, a data table and alternative text.

``drawing``, what all pictures share:
- ``canvas``        the picture itself, its style, and writing it as PNG, SVG or PDF;
- ``palettes``      colours of cell types that colour-blind readers can tell apart;
- ``type_names``    names of cell types and methods as they are printed;
- ``point_labels``  labels in a scatter plot that do not overlap.

``data``, what they are drawn from:
- ``prediction_data``  a predictions file;
- ``cell_vectors``     the cells' vectors before and after reading, read in blocks;
- ``projection``       PCA and UMAP; silhouette and nearest-neighbour purity;
- ``panels``           a scatter plot's points, and files of UMAP coordinates;
- ``type_genes``       genes by type: mean weights, and the cells that have them.

``plots``, one picture each: ``calibration_plot``, ``confusion_matrix``, ``gene_bars``,
``gene_map``, ``marker_dots``, ``method_comparison``, ``training_curves``, ``umap_plot``.

``report``, the HTML report (its page is ``templates/``):
- ``report``         puts the page together;
- ``report_tables``  its tables;
- ``cell_map``       the content of the map of cells, which a script in the page draws;
- ``history``        the steps that made the files, and the commands to repeat them;
- ``multiqc``        the metrics as MultiQC custom content.
"""
