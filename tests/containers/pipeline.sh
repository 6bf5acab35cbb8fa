#!/bin/sh
# The suite from counts to pictures, on small cells and the packaged models; in the folder with
# counts.h5ad and markers.tsv. The same script runs outside and inside every image.
set -eu
export SOURCE_DATE_EPOCH=1700000000 SCREADER_OFFLINE=1 OMP_NUM_THREADS=1
tools=${1:-all}
if [ "$tools" = all ]; then
  fetch-descriptions --quiet --genes counts.h5ad --source packaged -o descriptions.h5ad
  embed-genes --quiet descriptions.h5ad -o gene-embeddings.h5ad
  build-cells --quiet counts.h5ad -e gene-embeddings.h5ad --label cell_type -o cells.h5ad
fi
train-reader --quiet cells.h5ad --llm-layers 1 --epochs 1 --warm-start-epochs 2 -o reader.h5
predict --quiet cells.h5ad -r reader.h5 -o predictions.h5ad
screader validate --quiet reader.h5
screader info predictions.h5ad >information.txt
if [ "$tools" = all ]; then
  prepare-cells --quiet counts.h5ad --markers markers.tsv -o prepared.h5ad
  plot confusion --quiet predictions.h5ad -o confusion.png
  plot umap --quiet predictions.h5ad --cells cells.h5ad -o umap.png
  plot report --quiet predictions.h5ad --reader reader.h5 --cells cells.h5ad -o report.html
fi
