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
storage.mode(m) <- "integer"
saveRDS(m, "integer.rds", ascii = TRUE)
saveRDS(as(s, "TsparseMatrix"), "triplets.rds")
saveRDS(as(s, "RsparseMatrix"), "rows.rds", compress = FALSE)
saveRDS(as.data.frame(m), "frame.rds")
saveRDS(x[["RNA"]], "assay.rds")
m[3, 4] <- NA
saveRDS(m, "missing.rds")
saveRDS(unname(m), "nameless.rds")
