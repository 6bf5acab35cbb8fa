# make demo   the whole suite on real cells, in demo-output/
# make test   all tests
# make check  formatting, lint, types
# make docs   the generated pages in docs/
# make readers DATA=FOLDER   the packaged readers, trained anew from the cells in that folder
# make test-galaxy   the tools and workflows on a real Galaxy server, installed into .galaxy/
# make nextflow-tools        linters that the pipeline's tests use where they are
# make test-nextflow         the pipeline: linters and, with nextflow on the PATH, its runs
# make test-containers       the CPU image, built, turned into Apptainer's and tested
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

.PHONY: demo install test readers test-galaxy nextflow-tools test-nextflow test-containers test-containers-gpu check docs clean

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

clean:
	rm -rf $(VENV) demo-output build *.egg-info
