# Seurat's label transfer and SingleR on the same cells: Rscript annotate.R METHOD FOLDER
#
# FOLDER holds reference.mtx and query.mtx (genes by cells, log-normalised) and labels.txt of the
# reference; calls.tsv is written there, with the confidences that Seurat gives.
suppressMessages(library(Matrix))
arguments <- commandArgs(trailingOnly = TRUE)
folder <- arguments[2]
read <- function(name) {
  values <- as(readMM(file.path(folder, name)), "CsparseMatrix")
  dimnames(values) <- list(paste0("g", seq_len(nrow(values))), paste0(name, seq_len(ncol(values))))
  values
}
reference <- read("reference.mtx")
query <- read("query.mtx")
labels <- readLines(file.path(folder, "labels.txt"))
if (arguments[1] == "Seurat") {
  suppressMessages(library(Seurat))
  object <- function(values) {
    made <- SetAssayData(CreateSeuratObject(expm1(values)), "data", values)
    FindVariableFeatures(made, nfeatures = 2000, verbose = FALSE)
  }
  first <- RunPCA(ScaleData(object(reference), verbose = FALSE), npcs = 30, verbose = FALSE)
  anchors <- FindTransferAnchors(
    first, object(query), dims = 1:30, reference.reduction = "pca", verbose = FALSE
  )
  found <- TransferData(anchors, labels, dims = 1:30, verbose = FALSE)
  calls <- data.frame(found$predicted.id, found$prediction.score.max)
} else {
  suppressMessages(library(SingleR))
  found <- SingleR(query, reference, labels, de.method = "classic")
  calls <- data.frame(found$labels, NA)
}
write.table(
  calls, file.path(folder, "calls.tsv"), sep = "\t", quote = FALSE, row.names = FALSE,
  col.names = FALSE
)
