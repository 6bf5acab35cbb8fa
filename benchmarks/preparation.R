# Seurat's steps on counts written by preparation.py: variable genes, PCA, clusters, markers.
# Rscript preparation.R FOLDER
suppressPackageStartupMessages({library(Seurat); library(Matrix)})
folder <- commandArgs(TRUE)[1]
counts <- as(as(readMM(file.path(folder, "counts.mtx")), "generalMatrix"), "CsparseMatrix")
rownames(counts) <- readLines(file.path(folder, "genes.txt"))
colnames(counts) <- readLines(file.path(folder, "cells.txt"))
start <- proc.time()[["elapsed"]]
cells <- CreateSeuratObject(counts)
cells <- NormalizeData(cells, verbose = FALSE)
cells <- FindVariableFeatures(cells, nfeatures = 2000, verbose = FALSE)
cells <- ScaleData(cells, verbose = FALSE)
cells <- RunPCA(cells, npcs = 10, verbose = FALSE)
cells <- FindNeighbors(cells, dims = 1:10, verbose = FALSE)
cells <- FindClusters(cells, resolution = 0.5, verbose = FALSE)
cat(proc.time()[["elapsed"]] - start, "\n", file = file.path(folder, "seconds.txt"))
writeLines(VariableFeatures(cells), file.path(folder, "variable.txt"))
write.csv(Embeddings(cells, "pca"), file.path(folder, "pca.csv"))
write.csv(data.frame(cluster = Idents(cells)), file.path(folder, "clusters.csv"))
# Markers of the clusters that prepare-cells found, so that the same question is asked twice.
Idents(cells) <- factor(readLines(file.path(folder, "our_clusters.txt")))
markers <- FindAllMarkers(cells, only.pos = TRUE, min.pct = 0.3, logfc.threshold = 0.3,
                          verbose = FALSE)
write.csv(markers, file.path(folder, "markers.csv"))
cat(as.character(packageVersion("Seurat")), "\n", file = file.path(folder, "version.txt"))
