# Needs make, git and Python 3.11.4 or newer. Everything is installed into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
BUILD := _build
PAGES := $(BUILD)/book

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help book check test style lab results reference publish bench clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

book: $(VENV)/book.stamp  ## execute the notebooks (profile quick) and render the book from them
	$(BIN)/simlib notebooks --profile quick --output $(BUILD)/notebooks/quick
	$(BIN)/simlib book build --notebooks $(BUILD)/notebooks/quick --output $(PAGES)

check: style  ## style, types and the fast tests: after each change
	$(BIN)/python -m pytest --numprocesses auto -m "not slow"

test: style  ## everything: also slow tests, notebooks (profile smoke), pages in a browser
	$(BIN)/python -m tests.browser
	$(BIN)/python -m pytest --numprocesses auto

style: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright

lab: $(VENV)/book.stamp  ## open working copies of the notebooks in JupyterLab
	$(BIN)/simlib lab

results: $(VENV)/book.stamp  ## compute the benchmark that comes with the book, into notebooks/results
	$(BIN)/simlib run photos --store notebooks/results

reference: $(VENV)/book.stamp  ## execute the committed notebooks that are old or a short run, and rewrite them
	$(BIN)/simlib book refresh

publish: $(VENV)/book.stamp  ## render the committed notebooks as they are, without executing
	$(BIN)/simlib book build --notebooks notebooks --output $(PAGES)

bench: $(VENV)/dev.stamp  ## measure the attacks' speed, into _build/bench.json
	$(BIN)/python -m tests.benchmarks

clean:  ## remove everything that was built, .venv included, but not the working copies of JupyterLab
	rm -rf $(filter-out $(BUILD)/lab,$(wildcard $(BUILD)/*)) $(VENV) .pytest_cache .ruff_cache .hypothesis

$(VENV)/made.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11, 4))' || { \
	  echo "Python 3.11.4 or newer is needed, and '$(PYTHON)' is not: make PYTHON=/path/to/python3.11 ..."; exit 1; }
	@echo "Creating $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

# torch and its libraries are nine tenths of the installation
$(VENV)/torch.stamp: $(VENV)/made.stamp constraints.txt
	@echo "Installing torch and torchvision (several GB, some minutes)"
	@$(PIP) torch torchvision
	@touch $@

$(VENV)/book.stamp: $(VENV)/torch.stamp pyproject.toml constraints.txt
	@echo "Installing simlib and what renders the book"
	@$(PIP) --editable '.[book]'
	@touch $@

$(VENV)/dev.stamp: $(VENV)/book.stamp
	@echo "Installing what tests need"
	@$(PIP) --editable '.[book,dev]'
	@touch $@
