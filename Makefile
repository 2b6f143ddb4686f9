# make demo: install, simulate a bag, fuse it, show the pictures. make test: everything that is tested, by a process
# for each core; PROCESSES=3: by so many, PROCESSES=0: by one that starts no others.
# make fuzz: damaged inputs of every kind, for four minutes; FUZZ=--seed=7 draws others.
# make soak: long runs of a replay and, with a ROS 2, of the node; SOAK=--full: 10,000 pairs, 5 minutes of overload.
# make lock: lock.txt and docker/constraints.txt again, after a change of setup.py or constraints.txt.
# make docs: the site of docs/ into site/, with every link checked.
# make test-core: the same tests without torch, on any Python from 3.10. make test-ros and make test-gpu: what
# needs a ROS 2 or an NVIDIA GPU.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt
ROS_SETUP := $(lastword $(sort $(wildcard /opt/ros/*/setup.bash)))

# A sourced ROS 2 brings pytest plugins that crash newer versions of pytest: none is loaded but those named here.
export PYTEST_DISABLE_PLUGIN_AUTOLOAD := 1

# In random order; the report's third line has the seed that repeats it, `-p randomly --randomly-seed=N`, in every
# process. Which of them has which files depends on their speed; `-v` tells.
# What the tests draw comes from a seed of their own, see test/conftest.py.
TESTS := pytest -p randomly --randomly-dont-reset-seed
PYTEST := $(BIN)/python -m $(TESTS)

# A file's tests stay together, so what they share is built once. Without a new order, the largest files come first.
# auto: see test/conftest.py. ROS 2 and a GPU are there once: their tests run in one process.
PROCESSES ?= auto
IN_PARALLEL := -p xdist --numprocesses $(PROCESSES) --dist loadfile --no-loadscope-reorder

# Of the package alone, not of the tests, which is what the warning is about. It takes a fourth of the CPU time
# that coverage.py adds before Python 3.14.
COVERAGE := PYTHONWARNINGS='ignore:Unable to activate pytest branch' \
  $(BIN)/python -m slipcover --branch --source ivfusion_ros

.PHONY: demo test test-core test-ros test-gpu fuzz soak lint lock docs clean

demo: $(VENV)/.runtime
	$(BIN)/ivfusion demo --out demo

test: $(VENV)/.test lint
	$(COVERAGE) --json --out coverage.json -m $(TESTS) $(IN_PARALLEL) -p slipcover.pytest_plugin
	$(BIN)/python test/coverage_by_room.py coverage.json

test-core: $(VENV)/.core
	$(PYTEST) $(IN_PARALLEL)

soak: $(VENV)/.test
ifeq ($(ROS_SETUP),)
	$(BIN)/python test/soak.py $(SOAK)
else
	bash -c 'source $(ROS_SETUP) && exec $(BIN)/python test/soak.py $(SOAK)'
endif

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

test-ros: $(VENV)/.test
ifeq ($(ROS_SETUP),)
	@echo "test-ros: no /opt/ros/*/setup.bash on this machine, the ros tests did not run"
else
	bash -c 'source $(ROS_SETUP) && exec $(PYTEST) -m ros test/ros'
endif

test-gpu: $(VENV)/.test
	test/gpu.sh

fuzz: $(VENV)/.test
	OMP_NUM_THREADS=1 $(BIN)/python test/fuzz/fuzz_run.py $(FUZZ)

lock: $(VENV)/.runtime
	$(PIP) uv
	$(BIN)/python test/write_lock.py

docs: $(VENV)/.runtime
	$(PIP) --editable '.[report,web,docs]'
	$(BIN)/mkdocs build --quiet --strict

clean:
	rm -rf $(VENV) demo site gpu_figures build install log

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: setup.py constraints.txt | $(BIN)/python
	$(PIP) --editable '.[openvino,report]'
	touch $@

$(VENV)/.core: $(VENV)/.runtime
	$(PIP) --editable '.[openvino,report,core-test]'
	touch $@

# Nothing but what lock.txt has, by its hashes, and torch. setuptools, which builds, is there as well.
$(VENV)/.test: setup.py constraints.txt lock.txt | $(BIN)/python
	$(PIP) --require-hashes --no-deps --requirement lock.txt
	$(PIP) --no-build-isolation --editable '.[openvino,report,web,train,test]'
	touch $(VENV)/.runtime $(VENV)/.core $@
