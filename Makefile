# Everything runs in .venv, at the versions of constraints.txt, and needs Python 3.11+, pip and make; a C++20 compiler
# adds the engine. `make` alone lists the targets.

PYTHON  ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
             $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
WORKERS ?= 2
BUDGET  ?= 60s
VENV    := .venv
BIN     := $(VENV)/bin

# What an installed package depends on: its metadata and its C++. Python sources are used where they lie (-e).
PACKAGE := pyproject.toml constraints.txt CMakeLists.txt bindings/CMakeLists.txt csrc/CMakeLists.txt \
           $(wildcard bindings/*.cpp csrc/*/*.hpp csrc/*/*.cpp)
# The variables hold for the isolated build as well, which -c alone would not reach.
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt \
       $(BIN)/python -m pip

REPORT := $(BIN)/python -c 'from ifog.kernels import available, engine; \
  print("C++ engine:", " ".join(engine().cpu_features()) if available() else "not built, PyTorch alone will be used")'

.DEFAULT_GOAL := help
.PHONY: help install train test lint types docs bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(VENV)/.development ## make .venv and install ifog into it with everything that development needs

train: $(VENV)/.runtime ## install, then train a character model on Python's own library for BUDGET=60s and sample it
	$(BIN)/ifog train --budget $(BUDGET)

test: lint ## install, then lint, types, direction of imports, and the whole suite with its doctests
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(WORKERS) --dist worksteal

lint: install ## ruff, its formatter, pyright, import-linter
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright
	$(BIN)/lint-imports

docs: install ## build the documentation into site/, every warning an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: install ## measure speed: a time is printed only after values and gradients match
	$(BIN)/python -m benchmarks

clean: ## remove .venv and everything that was built
	rm -rf $(VENV) build dist site .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "ifog needs Python 3.11 or newer, and none was found on the PATH." \
	  "Install one, or name it: make install PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: $(PACKAGE) | $(BIN)/python
	$(PIP) install -c constraints.txt -e .
	@$(REPORT)
	@touch $@

$(VENV)/.development: $(PACKAGE) | $(BIN)/python
	$(PIP) install -c constraints.txt -e '.[dev]'
	@$(REPORT)
	@touch $@ $(VENV)/.runtime
