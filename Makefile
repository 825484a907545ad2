# For GNU make 3.81 and later. Every path is relative, so that the clone may sit below a folder with spaces.

PYTHON ?= python3
VENV_PYTHON := .venv/bin/python
# What is installed, and where: a changed lock and a moved clone both ask for another installation.
WANTED := { pwd; cat requirements/dev.txt; }

.DEFAULT_GOAL := help
.PHONY: help install run test lint format types bench schema seed lock clean

help: ## List the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1 \t/p' Makefile | expand -t 16

run: install ## Run everything in this terminal; PORT=8000 and HOST=127.0.0.1 may be set
	@$(VENV_PYTHON) manage.py dev $(ARGS)

# Measuring coverage takes half as long again, and only CI looks at it.
test: install ## Run the tests; ARGS="-k login" runs some; CI=true measures coverage, too
	@$(VENV_PYTHON) -m pytest $(if $(ARGS),$(ARGS),$(if $(CI),--cov) --numprocesses=2 --dist=loadfile --no-loadscope-reorder)

lint: install ## Check style, formatting and the direction of imports
	@$(VENV_PYTHON) -m ruff check .
	@$(VENV_PYTHON) -m ruff format --check .
	@.venv/bin/lint-imports

format: install ## Mend style and formatting
	@$(VENV_PYTHON) -m ruff check --fix --quiet --exit-zero .
	@$(VENV_PYTHON) -m ruff format .
	@$(VENV_PYTHON) -m ruff check .

types: install ## Check the types, strictly
	@$(VENV_PYTHON) -m mypy

bench: install ## Measure the engine (a minute), and the server beside others where their folder is found: BENCH_PEERS
	@$(VENV_PYTHON) -m pip install --quiet --disable-pip-version-check --no-input --no-deps \
		--require-hashes -r requirements/bench.txt
	@mkdir -p var
	@$(VENV_PYTHON) -m benchmarks.in_process --plot var/page-size.png
	@$(VENV_PYTHON) -m benchmarks.over_http $(ARGS)

schema: install ## Write schema/schema.graphql; ARGS=--check only compares
	@$(VENV_PYTHON) manage.py export_schema $(ARGS)

seed: install ## Fill an empty database; ARGS="--users 200 --posts 1000 --comments 10000 --tags 50"
	@$(VENV_PYTHON) manage.py seed $(ARGS)

lock: install ## Compile requirements/*.in into pinned, hashed requirements/*.txt; ARGS=--upgrade takes the newest
	@for name in base prod dev bench; do \
		echo "Compiling requirements/$$name.txt ..."; \
		$(VENV_PYTHON) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
			--custom-compile-command "make lock" $(ARGS) \
			requirements/$$name.in --output-file requirements/$$name.txt || exit 1; \
	done

install: ## Make .venv and install the pinned requirements, where that is not done yet
	@$(WANTED) | cmp -s - .venv/installed && $(VENV_PYTHON) -c '' 2>/dev/null && exit 0; \
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Broadside needs Python 3.11 or later; $(PYTHON) is: `$(PYTHON) --version 2>&1`"; \
		echo "Name another one, for example: make $(or $(MAKECMDGOALS),run) PYTHON=python3.12"; exit 1; }; \
	$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
		echo "$(PYTHON) cannot make virtual environments (on Debian and Ubuntu: apt install python3-venv)."; exit 1; }; \
	echo "Installing the pinned requirements into .venv (about half a minute) ..."; \
	rm -f .venv/installed; \
	$(PYTHON) -m venv --clear .venv && \
	$(VENV_PYTHON) -m pip install --quiet --disable-pip-version-check --no-input --no-deps \
		--require-hashes -r requirements/dev.txt && \
	{ $(WANTED) > .venv/installed; } || { echo "The installation failed; the same command tries again."; exit 1; }

clean: ## Remove what the other targets made, except the database in var/
	rm -rf .venv explorer/dist explorer/node_modules staticfiles htmlcov .coverage coverage.xml
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
