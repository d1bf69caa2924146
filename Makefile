# Every target sets up what it needs in .venv, with no activation; only python3 (3.11 or newer) with its venv
# module must be there. A virtual environment that exists already is used and added to, never replaced.

PYTHON ?= python3
JOBS ?= 2
BIN := .venv/bin
RUN := $(BIN)/python -P
SOURCES := api compiler frontends backends runtime
LINTED := $(SOURCES) $(wildcard tests examples benchmarks docs hardware) setup.py

# Editable installs hold the folder's path, so a stamp counts for this folder only, not for a copy of it.
STAMP := .venv/.installed-$(subst /,+,$(CURDIR))

.DELETE_ON_ERROR:
.PHONY: help demo test lint bench conformance test-frameworks docs format clean

help:
	@echo "make demo             compile and run a small network on the CPU, stage by stage"
	@echo "make test             all tests but those that need a framework installed"
	@echo "make lint             ruff and mypy"
	@echo "make bench            measure the public models beside ONNX Runtime and OpenVINO (installs torch)"
	@echo "make conformance      the tests of the ONNX standard, counted"
	@echo "make test-frameworks  the tests that run a framework itself (installs torch, TensorFlow)"
	@echo "make docs             write the pages that the code itself knows, such as docs/ops.md"
	@echo "make format           rewrite the sources as ruff formats them"

demo: $(STAMP)-core
	@$(BIN)/isthmus demo

# Workers of one thread each: the tests are many and small, and two libraries' pools on the same cores only wait.
test: $(STAMP)-dev
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(RUN) -m pytest -q -n $(JOBS) --dist loadfile

# ARGS reaches the command: make bench ARGS="--help".
bench: $(STAMP)-bench
	@$(BIN)/python -m benchmarks $(ARGS)

conformance: $(STAMP)-dev
	@$(BIN)/isthmus conformance $(ARGS)

test-frameworks: $(STAMP)-frameworks
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(RUN) -m pytest -q -m frameworks

docs: $(STAMP)-core
	@$(RUN) docs/generate.py

# The type checker sees the folders under the names they install as, through links made anew each time.
lint: $(STAMP)-dev
	@$(RUN) -m ruff check --quiet $(LINTED)
	@$(RUN) -m ruff format --check --quiet $(LINTED) || { echo "some files are not formatted: run make format"; exit 1; }
	@rm -rf build/typed && mkdir -p build/typed/isthmus
	@ln -s $(CURDIR)/api/* $(addprefix $(CURDIR)/,$(filter-out api,$(SOURCES))) build/typed/isthmus/
	@cd build/typed && $(CURDIR)/$(RUN) -m mypy --config-file ../../pyproject.toml -p isthmus

format: $(STAMP)-dev
	@$(RUN) -m ruff check --quiet --fix $(LINTED)
	@$(RUN) -m ruff format --quiet $(LINTED)

clean:
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

# A half-made environment (venv interrupted, or its pip missing) is completed by running venv again.
$(STAMP)-core: pyproject.toml setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "python 3.11 or newer is needed, $(PYTHON) is older: make PYTHON=/path/to/python3.11 ..."; exit 1; }
	@test -x $(BIN)/python && $(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv .venv
	@echo "setting up .venv (once)"
	@$(call install,.)
	@touch "$@"

$(STAMP)-%: $(STAMP)-core
	@echo "installing what '$*' needs (once)"
	@$(call install,.[$*])
	@touch "$@"

# setuptools warns at each editable install that a folder named isthmus would shadow it; there is none.
install = PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check -e '$(1)'
