#!/bin/sh
# Installs one image's Python side into TARGET, from its lock file: for the build stages of the
# Dockerfile and of the Apptainer definitions.
#
#   containers/install.sh screader|screader-gpu TARGET
#
# pip's own settings decide where packages come from (PIP_FIND_LINKS, PIP_EXTRA_INDEX_URL,
# PIP_CERT). pip and setuptools stay outside TARGET.
set -eu
image=$1 target=$2
source=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
export PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore
: "${SOURCE_DATE_EPOCH:=315532800}" # 1980, the first that an archive can hold
export SOURCE_DATE_EPOCH DEBIAN_FRONTEND=noninteractive

python3 -m venv "$work/pip"
pip=$work/pip/bin/pip
"$pip" install --quiet --require-hashes --no-deps -r "$source/containers/locks/build.txt"

python3 -m venv --without-pip "$target"
install() { "$pip" --python "$target/bin/python" install --quiet --no-deps --no-compile "$@"; }
install --require-hashes --only-binary :all: -r "$source/containers/locks/$image.txt"
"$pip" wheel --quiet --no-deps --no-build-isolation --wheel-dir "$work" "$source"
install --no-index "$work"/screader_suite-*.whl

packages=$("$target/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
cp "$source/containers/screader_caches.py" "$packages/"
echo 'import screader_caches' >"$packages/screader_caches.pth"
# An installation's own address is nobody's business.
find "$packages" -path '*.dist-info/direct_url.json' -delete
# What only developers of the packages need.
find "$packages" -type d \( -name tests -o -path '*/torch/test' -o -path '*/torch/include' \
  -o -path '*/torch/share' -o -path '*/numpy/_core/include' \) -prune -exec rm -rf {} +
find "$packages" -type f \( -name '*.a' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.c' \
  -o -name '*.cpp' -o -name '*.h' -o -name '*.hpp' \) -delete
find "$packages" -type f \( -name '*.pyi' -o -path '*/matplotlib/mpl-data/sample_data/*' \
  -o -path '*/torch/lib/*test*.so' \
  -o -path '*/statsmodels/datasets/*.csv' -o -path '*/scanpy/datasets/*.h5ad' \
  -o -path '*/sklearn/datasets/*.jpg' -o -path '*/sklearn/datasets/*.gz' \
  -o -path '*/torch-*.dist-info/RECORD' \) -delete
find "$packages/torch/bin" -type f ! -name torch_shm_manager -delete
# Names that only a debugger reads: 220 MB. CUDA's libraries stay as they were signed off.
apt-get update -qq
apt-get install -y -qq --no-install-recommends binutils >/dev/null
find "$packages" -type f \( -name '*.cpython-*.so' -o -name '*.abi3.so' \) \
  -exec strip --strip-unneeded {} +
if [ "$image" = screader ]; then
  find "$packages/torch/lib" "$packages/llvmlite" -name '*.so*' -exec strip --strip-unneeded {} +
fi
# A lean image trains, predicts and annotates; its other executables would only end in an import
# error.
if [ "$image" = screader-gpu ]; then
  for tool in fetch-descriptions embed-genes prepare-cells build-cells plot; do
    rm "$target/bin/$tool" "$target/bin/screader-$tool"
  done
fi
PYTHONDONTWRITEBYTECODE=1 "$target/bin/python" "$source/containers/compile.py" "$packages"
mkdir -p "$target/share/doc/screader"
# Python's part of the bill of materials; sbom.py completes it in the final stage.
"$work/pip/bin/cyclonedx-py" environment --output-reproducible \
  -o "$source/containers/bill.json" "$target/bin/python"
cp "$source/LICENSE" "$source/CITATION.cff" "$target/share/doc/screader/"
rm -rf "$work"
