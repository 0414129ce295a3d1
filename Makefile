# One command for each thing that a contributor does; `make` alone lists them.
# Needs make, Python 3.11 or newer, and a package index. Another Python: make setup PYTHON=python3.12

.POSIX:

PYTHON ?= python3
VENV   ?= .venv
PY      = $(VENV)/bin/python
UV      = $(PY) -m uv
EXTRAS  = media,report,emulator,amazon,openlineage
STAMP   = $(VENV)/.installed
PEERS   = build/peers

# Extra words for pytest, for example: make test PYTEST_ARGS="tests/client -k retry"
PYTEST_ARGS ?=

.PHONY: help setup demo ui test peers chaos lint format types docs screenshots criteria backends compat wheel bench constraints check clean

help: ## Show this list
	@echo "Usage: make TARGET [PYTHON=python3.12]"
	@echo
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' Makefile

setup: $(STAMP) ## Create .venv and install the project with everything needed to work on it

$(STAMP): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null 2>&1 || { \
	  echo "make: '$(PYTHON)' was not found. Install Python 3.11 or newer, or name one: make setup PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "make: '$(PYTHON)' is $$($(PYTHON) -V 2>&1), but Python 3.11 or newer is needed."; \
	  echo "      Install a newer one and name it: make setup PYTHON=/path/to/python3.12"; exit 1; }
	@echo "==> [1/3] virtual environment in $(VENV) ($$($(PYTHON) -V))"
	@test -x $(PY) || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "make: this Python cannot create virtual environments (on Debian and Ubuntu: apt-get install python3-venv)."; exit 1; }
	@echo "==> [2/3] uv, the installer"
	@$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt uv
	@echo "==> [3/3] Airflow, the provider (editable) and the tools; a minute or two the first time"
	@$(UV) pip install --quiet --python $(PY) -c constraints.txt --group dev -e '.[$(EXTRAS)]'
	@touch $(STAMP)
	@echo "==> ready: $(PY)"

demo: setup ## Run the tour: emulator, real Airflow, real videos; needs no key
	@$(PY) demo/run.py

ui: setup ## Start Airflow with the example DAGs and the emulator, and stay up
	@$(PY) demo/ui.py

test: setup ## Run all tests (PYTEST_ARGS="…" to choose)
	@$(PY) -m pytest $(PYTEST_ARGS)

peers: $(PEERS)/litellm/.installed $(PEERS)/engines/.installed ## Install the servers of others that tests/peers talks to (800 MB)

$(PEERS)/litellm/.installed: tests/peers/litellm.txt tests/peers/overrides.txt $(STAMP)
	@$(UV) venv --quiet --clear --python $(PY) $(@D)
	@$(UV) pip install --quiet --python $(@D)/bin/python --override tests/peers/overrides.txt -r tests/peers/litellm.txt
	@touch $@

$(PEERS)/engines/.installed: tests/peers/engines.txt tests/peers/engines-needs.txt $(STAMP)
	@$(UV) venv --quiet --clear --python $(PY) $(@D)
	@$(UV) pip install --quiet --python $(@D)/bin/python -r tests/peers/engines-needs.txt
	@$(UV) pip install --quiet --python $(@D)/bin/python --no-deps -r tests/peers/engines.txt
	@touch $@

chaos: setup ## Break everything at every step, count what is left, and write the table of docs/reliability.md
	@SORA_CHAOS=full $(PY) -m pytest tests/chaos -s $(PYTEST_ARGS)

lint: setup ## Check style and formatting
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

format: setup ## Mend style and formatting
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

types: setup ## Check types
	@$(PY) -m mypy

docs: setup ## Build the documentation into docs/_build/html; a warning is an error
	@$(PY) -m sphinx -n -W --keep-going -q -b html docs docs/_build/html
	@echo "==> docs/_build/html/index.html"

screenshots: setup ## Take the screenshots of docs/ui.md, and draw the plots of docs/statistics.md; needs what the tests need
	@$(PY) docs/screenshots.py
	@$(PY) docs/statistics_plots.py --write

criteria: setup ## Write the table of docs/comparison.md from what a comparison judges by
	@$(PY) docs/criteria_table.py --write

backends: setup ## Write the tables of docs/backends.md from the backends' profiles
	@$(PY) docs/backends_table.py --write

# The oldest openai comes from pyproject.toml and the newest from constraints.txt, so neither is written down twice.
compat: setup ## Run the client's tests with the oldest and the newest openai
	@mkdir -p build/compat
	@grep -v '^openai==' constraints.txt > build/compat/constraints.txt
	@oldest=$$(sed -n 's/.*"openai>=\([0-9.]*\),.*/\1/p' pyproject.toml); \
	newest=$$(sed -n 's/^openai==\([0-9.]*\).*/\1/p' constraints.txt); \
	for version in $$oldest $$newest; do \
	  echo "==> openai $$version"; \
	  $(UV) venv --quiet --clear --python $(PY) build/compat/venv && \
	  $(UV) pip install --quiet --python build/compat/venv/bin/python -c build/compat/constraints.txt \
	    --group test -e '.[emulator]' "openai==$$version" && \
	  build/compat/venv/bin/python -m pytest -q -n 2 --dist loadfile tests/client || exit 1; \
	done

wheel: setup ## Build the wheel and the source distribution into dist/
	@$(UV) build --build-constraints constraints.txt --out-dir dist

bench: setup ## Measure speed and memory beside others, into docs/performance.md; half an hour
	@$(UV) venv --quiet --clear --python $(PY) build/bench
	@$(UV) pip install --quiet --python build/bench/bin/python -c constraints.txt --group bench -e .
	@build/bench/bin/python benchmarks/dag_parse.py --publish
	@$(PY) benchmarks/download_memory.py --publish
	@$(PY) benchmarks/deferred_clips.py --publish
	@$(PY) benchmarks/nightly_batch.py --publish
	@$(PY) benchmarks/pages.py --publish
	@$(PY) benchmarks/measuring.py --publish

constraints: setup ## Refresh constraints.txt to the newest versions that fit together
	@$(UV) pip compile pyproject.toml --universal --python-version 3.11 --all-extras --group dev --group bench \
	  --upgrade --no-header --no-annotate --no-emit-index-url --no-emit-find-links --quiet --output-file constraints.txt
	@echo "==> constraints.txt: $$(grep -c == constraints.txt) pins"

check: lint types docs test compat ## Everything that must pass before a change is proposed

clean: ## Remove what was built, and caches; .venv stays
	rm -rf build dist docs/_build .hypothesis .mypy_cache .pytest_cache .ruff_cache
