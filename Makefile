# make demo   the whole suite on real cells, in demo-output/
# make test   all tests
# make test-pages   the lines that all pages tell to type, on small files
# make check  formatting, lint, types
# make docs   the generated pages in docs/; check-docs says whether they are up to date
# make site   the site in build/site, from these pages; needs none of the suite
# make test-lowest   all tests with the lowest versions that pyproject.toml allows
# make test-newest   the tests of what is used of other packages' inside, with their newest versions
# make dist          source archive and wheel in dist/, compared with git's files
# make test-dist     both installed anew and tested from outside the checkout
# make release-check [TAG=v0.1.0]   what keeps the checkout from being released
# make audit         known vulnerabilities of the images' packages
# make readers DATA=FOLDER   the packaged readers, trained anew from the cells in that folder
# make test-galaxy   the tools and workflows on a real Galaxy server, installed into .galaxy/
# make nextflow-tools        linters that the pipeline's tests use where they are
# make test-nextflow         the pipeline: linters and, with nextflow on the PATH, its runs
# make test-containers       the CPU image, built, turned into Apptainer's and tested
# make test-conda        both Conda packages, built by rattler-build and compared with git's files
# make test-containers-gpu   the same of the GPU image: 20 GB of disk

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
OTHER_TOOLS := .nextflow-tools
DATA ?= data
WORK ?= readers-work
# One more than cores, as many tests wait; at most 9, as each takes up to a gigabyte.
WORKERS ?= $(shell cores=$$(nproc 2>/dev/null || echo 2); echo $$(( cores < 8 ? cores + 1 : 9 )))

.PHONY: demo install test test-pages test-lowest test-newest dist test-dist release-check audit check-docs readers test-galaxy nextflow-tools test-nextflow test-containers test-containers-gpu test-conda check docs site clean

$(INSTALLED): pyproject.toml requirements/constraints.txt requirements/embedded.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile -c requirements/constraints.txt -e ".[development]"
	$(BIN)/python -m pip install --quiet --no-compile --no-deps -r requirements/embedded.txt
	$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true  # on all cores, which pip does not use
	touch $@

install: $(INSTALLED)

demo: $(INSTALLED)
	$(BIN)/screader demo -o demo-output

test: $(INSTALLED)
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal

test-pages: $(INSTALLED)
	PAGES=all $(BIN)/python -m pytest tests/site/test_lines_of_pages.py --numprocesses $(WORKERS)

# With PyTorch's index for the CPU in UV_EXTRA_INDEX_URL, no build for CUDA is fetched.
test-lowest:
	$(PYTHON) -m venv --clear $(VENV)-lowest
	$(VENV)-lowest/bin/python -m pip install --quiet uv
	$(VENV)-lowest/bin/uv pip install --quiet --python $(VENV)-lowest/bin/python --index-strategy unsafe-best-match \
	  --resolution lowest-direct -e ".[test,parquet,filters]"
	$(VENV)-lowest/bin/uv pip install --quiet --python $(VENV)-lowest/bin/python --no-deps -r requirements/embedded.txt
	$(VENV)-lowest/bin/python -m pytest --numprocesses $(WORKERS) --dist worksteal

test-newest:
	$(PYTHON) -m venv --clear $(VENV)-newest
	$(VENV)-newest/bin/python -m pip install --quiet -e ".[test]"
	$(VENV)-newest/bin/python -m pip install --quiet --no-deps -r requirements/embedded.txt
	$(VENV)-newest/bin/python -m pip install --quiet --pre --upgrade transformers gguf
	$(VENV)-newest/bin/python -m pytest tests/reader/test_decoder.py tests/test_gguf_files.py

dist: $(INSTALLED)
	$(BIN)/python -m pip install --quiet build twine zstandard
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*
	$(BIN)/python scripts/compare_archives.py dist/*

test-dist: dist
	scripts/test_archives.sh $(PYTHON)

# CHANNELS="--channel conda-forge" builds and tests with Conda's own Python and packages.
test-conda: $(INSTALLED)
	$(BIN)/python -m pip install --quiet py-rattler-build zstandard
	$(BIN)/python containers/conda/build.py build/conda $(CHANNELS)

release-check: $(INSTALLED)
	$(BIN)/python scripts/release.py check $(TAG)

audit:
	$(PYTHON) -m venv --clear $(VENV)-audit
	$(VENV)-audit/bin/python -m pip install --quiet pip-audit
	scripts/audit.sh $(VENV)-audit/bin/pip-audit

# The blood cells' genes that have texts are among the pancreas', whose embeddings serve both.
readers: $(INSTALLED)
	$(BIN)/python readers/make_reader.py readers/human-pancreas.yaml --data $(DATA) --work $(WORK) --again --package
	$(BIN)/python readers/make_reader.py readers/human-blood.yaml --data $(DATA) --work $(WORK) --again --package \
	  --embeddings $(WORK)/human-pancreas/gene-embeddings.h5ad
	$(BIN)/python readers/make_reader.py readers/mouse-pancreas.yaml --data $(DATA) --work $(WORK) --again --package

test-galaxy: $(INSTALLED)
	$(BIN)/python galaxy_wrappers/test_on_galaxy.py

$(OTHER_TOOLS)/.installed: Makefile  # a list that has changed is installed anew
	$(PYTHON) -m venv $(OTHER_TOOLS)
	$(OTHER_TOOLS)/bin/python -m pip install --quiet reftrace==0.6.0 nf-core==4.2.1
	npm install --silent --no-audit --no-fund --prefix $(OTHER_TOOLS) npm-groovy-lint@16.2.0
	touch $@

nextflow-tools: $(OTHER_TOOLS)/.installed

test-nextflow: $(INSTALLED) $(OTHER_TOOLS)/.installed
	NEXTFLOW_CHECKS=all $(BIN)/python -m pytest tests/nextflow --ignore-glob='*test_engine_*'
	tests/nextflow/with_engine.sh --numprocesses 2 --dist load

test-containers: $(INSTALLED)
	containers/test.sh $(BIN)/python screader

test-containers-gpu: $(INSTALLED)
	containers/test.sh $(BIN)/python screader-gpu

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(INSTALLED)
	$(BIN)/python docs/generate.py

check-docs: $(INSTALLED)
	$(BIN)/python docs/generate.py --check

$(VENV)-site/.installed: requirements/site.txt
	$(PYTHON) -m venv --clear $(VENV)-site
	$(VENV)-site/bin/python -m pip install --quiet -r requirements/site.txt
	touch $@

site: $(VENV)-site/.installed
	NO_MKDOCS_2_WARNING=1 $(VENV)-site/bin/mkdocs build

clean:
	rm -rf $(VENV) $(VENV)-site $(VENV)-lowest $(VENV)-newest $(VENV)-audit demo-output build dist *.egg-info
