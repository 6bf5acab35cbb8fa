# The small objects among these, by R 4.2 and Seurat 4.3: 12 cells, 20 genes, counts i * j mod 5.
suppressMessages({library(Seurat); library(Matrix)})
m <- outer(1:20, 1:12, function(i, j) (i * j) %% 5)
dimnames(m) <- list(sprintf("GENE%02d", 0:19), sprintf("cell%03d", 0:11))
s <- as(m, "CsparseMatrix")
x <- suppressWarnings(CreateSeuratObject(s))
x[["integrated"]] <- CreateAssayObject(data = log1p(m[1:10, ]) - 0.3)
DefaultAssay(x) <- "integrated"
Idents(x) <- rep(c("a", "b"), 6)
saveRDS(x, "integrated.rds", compress = "xz")
other <- 1:3
save(x, other, file = "one.RData", compress = "bzip2")
y <- x
save(x, y, file = "two.RData", compress = "xz")
saveRDS(list(x, y), "list.rds", compress = "xz")
saveRDS(m, "dense.rds")
part <- t(s[1:3, ])
colnames(part) <- c("INS", "GCG", "SST")
saveRDS(part, "transposed.rds")
counts <- list(exon = list(all = s), inex = list(all = s))
saveRDS(list(umicount = counts, readcount = counts), "lists.rds", compress = "xz")  # as of zUMIs
storage.mode(m) <- "integer"
saveRDS(m, "integer.rds", ascii = TRUE)
saveRDS(as(s, "TsparseMatrix"), "triplets.rds")
saveRDS(as(s, "RsparseMatrix"), "rows.rds", compress = FALSE)
saveRDS(as.data.frame(m), "frame.rds")
saveRDS(DelayedArray::DelayedArray(s), "delayed.rds")
saveRDS(x[["RNA"]], "assay.rds")
m[3, 4] <- NA
saveRDS(m, "missing.rds")
saveRDS(unname(m), "nameless.rds")
# Half of the genes and a third of the cells of the Seurat object of version 4, as save writes it.
part <- readRDS("seurat4.rds")[seq(1, 800, 2), 1:30]
save(part, file = "part.RData")
