# Each target makes what it needs first; `make help` lists them. PYTHON says which
# interpreter to use (`make clean` first to change it), ARGS are options of pytest.

PYTHON ?= python3.11
ARGS ?=

LOCK := requirements/dev-py311-django52.txt
DEMO_LOCK := requirements/demo.txt
DEMO_ENVIRONMENT := .venv-demo/.environment
DOCS_LOCK := requirements/docs.txt
DOCS_ENVIRONMENT := .venv-docs/.environment
BIN := .venv/bin
ENVIRONMENT := .venv/.environment
WHEEL := dist/.built
INSTALLED := .venv/.installed
# One more than there are processors, for tests often wait; 4 at most.
WORKERS := $(shell n=$$(nproc); echo $$((n < 3 ? n + 1 : 4)))
PYTEST = TAHOESTORAGE_WHEEL=1 $(BIN)/pytest -n $(WORKERS) --dist worksteal
# The example's tests have its settings, and its modules on the path.
APPLICATION := --ds tests.application.settings --override-ini pythonpath=example
# The folders too: they change when a file goes away.
SOURCES := $(shell find tahoestorage ! -path '*/__pycache__*') \
	$(wildcard setup.cfg pyproject.toml README.md LICENSE)

# The tests start Python hundreds of times: it is to keep what it has compiled.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test lint format docs bench compatibility chaos wheel clean

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(firstword $(MAKEFILE_LIST)) \
		| sed -E 's/^([a-z]+):.*## */\1\t/' | expand -t 16

demo: $(DEMO_ENVIRONMENT)  ## run the example site on a private grid (DEMO_EXIT=1: try it, end)
	@.venv-demo/bin/python example/demo.py

test: $(INSTALLED)  ## run every test against the built wheel (ARGS="-k caps": some)
ifeq ($(ARGS),)
	@$(PYTEST) --durations=20
	@$(PYTEST) $(APPLICATION) --durations=20 tests/application
else
	@$(PYTEST) $(if $(findstring tests/application,$(ARGS)),$(APPLICATION)) $(ARGS)
endif

lint: $(INSTALLED)  ## check format, style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(ENVIRONMENT)  ## put the code into its format
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

docs: $(DOCS_ENVIRONMENT)  ## build the documentation as a site, into site/
	@.venv-docs/bin/mkdocs build --strict --clean
	@echo "The documentation is in site/index.html."

bench: $(INSTALLED)  ## measure, print a table, write it as JSON, and draw the plots
	@$(BIN)/python -m benchmarks
	@$(BIN)/nox -s plots

compatibility: $(INSTALLED)  ## try all stores there are, and renew docs/compatibility.md
	@$(BIN)/python -m benchmarks.compatibility

chaos: $(INSTALLED)  ## bring faults upon real processes, and renew docs/reliability.md
	@$(BIN)/python -m benchmarks.chaos --write docs/reliability.md

wheel: $(WHEEL)  ## build the wheel into dist/

clean:  ## remove all that was made, the demo's files too
	rm -rf .venv .venv-demo .venv-docs .nox .demo build dist site *.egg-info bench.json \
		chaos.json .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(ENVIRONMENT): $(LOCK)
	@requirements/install.sh $(PYTHON) .venv $(LOCK)
	@touch $@

$(DOCS_ENVIRONMENT): $(DOCS_LOCK)
	@requirements/install.sh $(PYTHON) .venv-docs $(DOCS_LOCK)
	@touch $@

# A demo runs from the tree: the .pth file puts this folder on the path.
$(DEMO_ENVIRONMENT): $(DEMO_LOCK)
	@requirements/install.sh $(PYTHON) .venv-demo $(DEMO_LOCK)
	@echo '$(CURDIR)' > "$$(.venv-demo/bin/python -c \
		'import site; print(site.getsitepackages()[0])')/tahoestorage.pth"
	@touch $@

$(WHEEL): $(ENVIRONMENT) $(SOURCES)
	@rm -rf build dist *.egg-info
	$(BIN)/python -m build --wheel --no-isolation >.venv/build.log 2>&1 \
		|| { cat .venv/build.log >&2; exit 1; }
	@rm -rf build *.egg-info
	@touch $@

# The .pth file puts this folder last on the path: tests, example and benchmarks are
# found here, and the package where the wheel was installed.
$(INSTALLED): $(WHEEL)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps \
		--force-reinstall dist/*.whl
	@echo '$(CURDIR)' > "$$($(BIN)/python -c \
		'import site; print(site.getsitepackages()[0])')/beside_tahoestorage.pth"
	@touch $@
