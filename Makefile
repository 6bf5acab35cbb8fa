# make demo   the whole suite on real cells, in demo-output/
# make test   all tests
# make check  formatting, lint, types
# make docs   the generated pages in docs/
# make test-galaxy   the tools and workflows on a real Galaxy server, installed into .galaxy/
# make test-containers       the CPU image, built, turned into Apptainer's and tested
# make test-containers-gpu   the same of the GPU image: 20 GB of disk

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test test-galaxy test-containers test-containers-gpu check docs clean

$(INSTALLED): pyproject.toml requirements/constraints.txt requirements/embedded.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c requirements/constraints.txt -e ".[development]"
	$(BIN)/python -m pip install --quiet --no-deps -r requirements/embedded.txt
	touch $@

demo: $(INSTALLED)
	$(BIN)/screader demo -o demo-output

test: $(INSTALLED)
	$(BIN)/python -m pytest

test-galaxy: $(INSTALLED)
	$(BIN)/python galaxy_wrappers/test_on_galaxy.py

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
