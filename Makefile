# SPDX-License-Identifier: GPL-3.0-or-later
# ChangeScribe: `make run` and `make test` do all set-up by themselves.
# Only relative paths are used, so that a checkout in a folder with spaces works.

SHELL := /bin/bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Real imagery for the tests that need it; without it they are skipped, with a reason.
ifndef CHANGESCRIBE_DATA
  CHANGESCRIBE_DATA := $(shell cd ../shared/data 2>/dev/null && pwd)
endif
ifneq ($(CHANGESCRIBE_DATA),)
  export CHANGESCRIBE_DATA
endif

# A caller's Python settings must not reach QGIS's Python.
unexport PYTHONPATH PYTHONHOME PYTHONSTARTUP VIRTUAL_ENV

COMPACT := .venv/bin/python
FULL := .venv-full/bin/python
PYTEST_ARGS ?=
RECIPE ?= bundled
ARGS ?=

.PHONY: help run test test-compact test-engine test-plugin test-qt6 test-torch test-slow lint format \
	package docs train model evaluate bench setup setup-full clean distclean

help: ## list the targets
	@echo "ChangeScribe. The first two need no other step before them:"
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## /\1\t/' \
		| while IFS=$$'\t' read -r name words; do printf '  make %-14s %s\n' "$$name" "$$words"; done

run: setup ## set up, then QGIS with the plugin and the demo pair (HEADLESS=1: driven, under Xvfb)
	@HEADLESS="$(HEADLESS)" scripts/run.sh

test: test-compact test-torch ## set up both tiers (about 5 GB), lint and all tests but the slow ones
	@echo "All checks passed: lint, engine, plugin in QGIS, user interface under Qt 6, full tier."

test-compact: lint test-engine test-plugin test-qt6 ## the same without the full tier (small download)

test-engine: setup ## engine tests: PYTEST_ARGS="tests/engine/prompt -k word"
	@scripts/test.sh engine $(PYTEST_ARGS)

test-plugin: setup ## tests in a real QGIS, under Xvfb
	@scripts/test.sh plugin $(PYTEST_ARGS)

test-qt6: setup ## the user interface under PyQt6, with stand-ins for QGIS
	@scripts/test.sh qt6 $(PYTEST_ARGS)

test-torch: setup-full ## tests of the full tier
	@scripts/test.sh torch $(PYTEST_ARGS)

test-slow: setup setup-full ## the tests that take longer: large rasters, the demo made again, a real installation
	@scripts/test.sh slow $(PYTEST_ARGS)

lint: setup ## ruff, format, import contracts, types, Qt 6, file rules
	@scripts/lint.sh

format: setup ## sort imports and format the sources
	@$(COMPACT) -m ruff check --fix --quiet --select I . && $(COMPACT) -m ruff format .

package: setup ## build out/changescribe.zip for "Install from ZIP" and check the publication rules
	@$(COMPACT) scripts/package.py

docs: ## build the documentation into out/docs (30 MB the first time)
	@scripts/setup.sh docs
	@scripts/docs.sh

# These need the folder of imagery: CHANGESCRIBE_DATA, or --data in ARGS of train and evaluate.
train: setup-full ## train a model (hours): RECIPE=bundled; ARGS="--out FOLDER --data FOLDER"
	@$(FULL) -m changescribe.engine.cli train $(RECIPE) $(ARGS)

model: ## train and measure the bundled model and captioner (hours), into out/model; imagery: CHANGESCRIBE_DATA, or ../shared/data
	@scripts/model.sh $(ARGS)

evaluate: setup-full ## measure the bundled model into out/evaluation (minutes): ARGS="--quick --model FOLDER"
	@$(FULL) -m changescribe.engine.cli evaluate $(ARGS)

bench: setup ## measure speed and memory of the plugin (20 minutes) into out/bench: ARGS="--megapixels 4 noop dock"
	@$(COMPACT) scripts/bench $(ARGS)

setup: ## QGIS's packages where missing, and .venv (compact tier)
	@scripts/setup.sh compact

setup-full: ## .venv-full (PyTorch; about 5 GB)
	@scripts/setup.sh full

clean: ## delete what was built or run (out/, caches), keep the environments
	rm -rf out .qgis-settings .pytest_cache .ruff_cache .import_linter_cache
	find . -path ./.git -prune -o -path './.venv*' -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## also delete the environments
	rm -rf .venv .venv-full .venv-docs changescribe.egg-info
