# make demo: the whole workflow on a small simulated study. make explain: why what would run. make test: all tests.
# make test-slurm: those on a real Slurm alone, as root. make test-long: more cases of the same. All set up .venv by themselves.
PYTHON ?= python3
RUN := .venv/bin/python -m
PIP := $(RUN) pip --disable-pip-version-check -qq
TOGETHER := -n 3 --dist loadfile --no-loadscope-reorder
# Three folds train side by side, also on two cores.
CORES := $(shell n=$$(getconf _NPROCESSORS_ONLN 2>/dev/null); echo $$((n > 3 ? n : 3)))
export PYTHONUNBUFFERED := 1
ifneq ($(shell test -w "$$HOME" && echo yes), yes)
export XDG_CACHE_HOME ?= $(CURDIR)/results/.cache
endif

.PHONY: demo explain test test-fast test-long test-slurm lint bench docs clean

demo: .venv/demo.ready
	@$(RUN) snakemake --cores $(CORES)

explain: .venv/demo.ready
	@$(RUN) m2m_core.explain

test: .venv/test.ready
	@$(RUN) pytest $(TOGETHER) -m "not long"

test-fast: .venv/test.ready
	@$(RUN) pytest $(TOGETHER) -m "not workflow and not long"

test-long: .venv/test.ready
	@$(RUN) pytest $(TOGETHER) -m long

test-slurm: .venv/test.ready
	@$(RUN) pytest -m slurm

lint: .venv/test.ready
	@$(RUN) ruff check . && $(RUN) ruff format --check . && $(RUN) snakefmt --check workflow

bench: .venv/test.ready
	@$(RUN) tests.benchmarks

docs: .venv/demo.ready
	@$(RUN) m2m_core.schema

.venv/demo.ready: envs/requirements.lock pyproject.toml
	@$(PYTHON) -c "import sys; sys.exit('Python 3.11 or newer is needed, not ' + sys.version.split()[0]) if sys.version_info < (3, 11) else 0"
	@echo "Setting up .venv (about a minute)"
	@$(PYTHON) -m venv .venv
	@$(PIP) install -r envs/requirements.lock
	@$(PIP) install --no-deps -e .
	@touch $@

.venv/test.ready: .venv/demo.ready envs/requirements-test.lock
	@$(PIP) install -r envs/requirements-test.lock
	@touch $@

clean:
	rm -rf results .snakemake
	git checkout -- results/README.md
