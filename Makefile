# `make` lists the targets. It needs Python 3.11 or newer, make and git. The rest goes into .venv.

PYTHON := .venv/bin/python
PIP := $(PYTHON) -m pip --quiet --disable-pip-version-check install
# Five workers for two cores, because tests wait half of the time. A worker that dies, as after a
# deadlock, ends the run with the name of its test: xdist may fail or hang if it starts a new one.
PYTEST := $(PYTHON) -m pytest --nbval --numprocesses=5 --max-worker-restart=0 --no-loadscope-reorder
# Some of these tests are whole runs of pytest, and take longer than the usual limit for a deadlock.
ELSEWHERE := --numprocesses=2 -m elsewhere -o faulthandler_timeout=2400
PYTHONS := python3.15 python3.14 python3.13 python3.12 python3.11
INSTALLED := .venv/installed
PROTOC := .venv-proto/bin/python
PROTOC_INSTALLED := .venv-proto/installed
# The oldest release that pyproject.toml allows: stubs from a newer one fail on an older protobuf.
GRPC_TOOLS := grpcio-tools==1.67.0

# The tests find tools that are installed in .venv, such as grpcurl.
export PATH := $(CURDIR)/.venv/bin:$(PATH)

# The tests start hundreds of processes: without bytecode, each would compile the bank again.
unexport PYTHONDONTWRITEBYTECODE

# JupyterLab refuses to run as root, which is often the user in a container.
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: help install upgrade lab test test-all test-latest bench soak notebooks proto clean

help:  ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/make \1|\2/p' Makefile | awk -F'|' '{ printf "%-17s %s\n", $$1, $$2 }'

install: $(INSTALLED)  ## build .venv, or bring it up to date with requirements.lock

$(INSTALLED): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  for python in python3 $(PYTHONS); do \
	    if $$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	    then echo "building .venv with $$($$python --version)"; exec $$python -m venv --clear .venv; fi; \
	  done; \
	  echo "bankkit needs Python 3.11 or newer with its venv module (on Debian: apt install python3-venv)," \
	    "and none runs here as python3, $(PYTHONS)." >&2; \
	  exit 1; \
	}
	@# pip is installed first: the pip of an older Python takes twice as long for the rest.
	@# So is setuptools: it builds rwlock, which has no wheel.
	awk '/^[^ ]/ { wanted = /^(pip|setuptools)==/ } wanted' requirements.lock > .venv/first.txt
	$(PIP) --require-hashes --requirement .venv/first.txt
	$(PIP) --require-hashes --no-build-isolation --requirement requirements.lock
	@# A separate call: with hashes, pip refuses an editable install.
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

upgrade: $(INSTALLED)  ## lock the newest versions: requirements.lock, environment.yml
	$(PYTHON) -m tests.lock_versions $(ARGS)

lab: $(INSTALLED)  ## open the first lesson in JupyterLab (make lab ARGS=--no-browser)
	$(PYTHON) -m jupyterlab --LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb $(AS_ROOT) $(ARGS)

test: $(INSTALLED)  ## lint, check types, run all tests and all lessons
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check
	$(PYTEST) -p tests.support.foreign_data $(ARGS)

test-all: $(INSTALLED)  ## run the other tests: other Pythons and versions, all lessons in a browser
	$(PYTEST) $(ELSEWHERE) $(ARGS)

test-latest: $(INSTALLED)  ## test lessons, contract and Redis on the newest release of everything
	$(PYTEST) $(ELSEWHERE) tests/project/test_both_ends.py -k newest $(ARGS)

bench: $(INSTALLED)  ## measure the locks, the bank, the recorder and the explorer, as ratios
	$(PYTHON) -m tests.benchmarks.locks
	$(PYTHON) -m tests.benchmarks.redis_lock
	$(PYTHON) -m tests.benchmarks.bank
	$(PYTHON) -m tests.benchmarks.recorder
	$(PYTHON) -m tests.benchmarks.observer
	$(PYTHON) -m tests.benchmarks.explorer
	$(PYTHON) -m tests.benchmarks.replication

soak: $(INSTALLED)  ## interrupt locks, race, kill servers under load, measure memory over a million calls
	$(PYTHON) -m tests.benchmarks.explorer_fuzz
	$(PYTHON) -m tests.benchmarks.interrupts
	$(PYTHON) -m tests.benchmarks.races
	$(PYTHON) -m tests.benchmarks.fleet_soak
	$(PYTHON) -m tests.benchmarks.soak

notebooks: $(INSTALLED)  ## execute every lesson again and store its outputs
	$(PYTHON) -m tests.execute_notebooks $(ARGS)

proto: $(PROTOC_INSTALLED)  ## make the stubs in bankkit/pb again from proto/bank.proto
	$(PROTOC) -m grpc_tools.protoc -Ibankkit/pb=proto \
	  --python_out=. --pyi_out=. --grpc_python_out=. bankkit/pb/bank.proto

$(PROTOC_INSTALLED): Makefile | $(INSTALLED)
	$(PYTHON) -m venv --clear .venv-proto
	@# This release still reads its own files through pkg_resources.
	$(PROTOC) -m pip install --quiet --disable-pip-version-check '$(GRPC_TOOLS)' 'setuptools<81'
	@touch $@

clean:  ## remove everything that make and the tests have built
	rm -rf .venv .venv-proto .cache .hypothesis build dist
	find . -name __pycache__ -prune -exec rm -rf {} +
