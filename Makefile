# Needs Python 3.11 or newer, git and make. `make demo` and `make test` set everything up by themselves.
#
#   PYTHON           the interpreter that makes the virtual environment (the first suitable one by default)
#   VENV             where the virtual environment is made
#   TORCH_INDEX_URL  where torch comes from, if not from pip's own configuration (see CONTRIBUTING.md)

PYTHON ?= $(shell for candidate in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	  $$candidate -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' 2>/dev/null \
	  && echo $$candidate && break; done)
VENV ?= .venv
TORCH_INDEX_URL ?=

RUN := $(VENV)/bin/python
READY := $(VENV)/.polyrestore-ready
# Two processes or more, a file at a time, since the tests of a file share what is slow to make. In their own order,
# because files of few tests, which would come last, are the slow ones.
PYTEST := -m pytest --numprocesses auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder
# Percent of the package's statements that the tests run at least, workers and other processes of their own not counted.
# Counting them costs the tests a third more time.
COVERAGE_FLOOR ?= 97.5
EXTRAS := train,evaluate,adapters,latent,data,plots,tiff,heif,raw,clip,openvino,onnx,video,ray,app,hub,docs,dev

.DEFAULT_GOAL := help
.PHONY: help setup demo test coverage fuzz bench-check lint types wheel docs check clean

help:
	@echo "make setup   virtual environment with the pinned versions, in $(VENV)"
	@echo "make demo    restore the example photographs, sheets in demo-output/"
	@echo "make test    run the tests"
	@echo "make coverage"
	@echo "             run the tests and show what they leave out; below $(COVERAGE_FLOOR) % is an error"
	@echo "make fuzz    read 20,000 damaged image files, and send 5,000 through whole runs; one that is neither"
	@echo "             read nor refused is an error, and one that is lost"
	@echo "make bench-check"
	@echo "             time the network beside another and the machine; a ratio worse than the committed one is"
	@echo "             an error"
	@echo "make lint    ruff, rules and layout"
	@echo "make types   mypy, strict"
	@echo "make wheel   build the wheel, install it elsewhere, restore with it"
	@echo "make docs    build the documentation site, in site/"
	@echo "make check   lint, types, wheel and test"
	@echo "make clean   remove caches, demo-output/ and fuzz-output/"

setup: $(READY)

# torch goes first and alone, so that the build chosen here (a CPU one, say) is kept by everything that needs it.
$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "polyrestore needs Python 3.11 or newer; set PYTHON=/path/to/python" >&2; exit 1; }
	@test -x "$(RUN)" || $(PYTHON) -m venv "$(VENV)"
	@echo "setting up $(VENV) (a few minutes the first time)"
	@"$(RUN)" -m pip install --quiet --disable-pip-version-check -c constraints.txt \
	  $(if $(TORCH_INDEX_URL),--index-url "$(TORCH_INDEX_URL)") torch
	@"$(RUN)" -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[$(EXTRAS)]"
	@touch "$(READY)"

demo: setup
	@"$(RUN)" examples/demo.py --output demo-output

test: setup
	@"$(RUN)" $(PYTEST)

coverage: setup
	@"$(RUN)" $(PYTEST) --cov=polyrestore --cov-report=term:skip-covered --cov-fail-under=$(COVERAGE_FLOOR)

fuzz: setup
	@"$(RUN)" -m scripts.fuzz
	@"$(RUN)" -m scripts.fuzz_runs

bench-check: setup
	@"$(RUN)" -m benchmarks.engine --check --rounds 3

lint: setup
	@"$(RUN)" -m ruff check .
	@"$(RUN)" -m ruff format --check .

types: setup
	@"$(RUN)" -m mypy

wheel: setup
	@"$(RUN)" scripts/check_wheel.py

docs: setup
	@NO_MKDOCS_2_WARNING=1 "$(RUN)" -m mkdocs build --quiet --strict

check: lint types wheel test

clean:
	rm -rf site demo-output fuzz-output build dist .coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} +
