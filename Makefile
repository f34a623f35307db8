# PetPro. `make help` lists what a person can ask for; CI asks for the same things.

SHELL    := /bin/bash
VENV     := .venv
BIN      := $(VENV)/bin
LOCK     := requirements/requirements.lock
PACKAGES := $(wildcard libs/*/pyproject.toml services/*/pyproject.toml)
MODULES  := $(filter-out %.egg-info,$(notdir $(wildcard libs/*/petpro_* libs/petproctl/petproctl services/*/petpro_*))) devstack deploy bench
# Not empty where the environment was made for another folder: this one was moved or copied.
FOREIGN  := $(shell [ ! -e $(VENV)/.locked ] || [ "$$(cat $(VENV)/.locked)" = "$$(pwd -P)" ] || echo foreign)
SUITES   := $(wildcard tests services/*/tests libs/*/tests)
PYTEST   := $(BIN)/python -m pytest
WORKERS  ?= 2

.DEFAULT_GOAL := help
.PHONY: help setup up demo test test-unit simulate chaos outage bench lint format proto k8s k8s-smoke images lock clean foreign

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.packages ## make .venv from the hashed lock (every other target does it by itself)

up: setup ## start the whole platform, play the stories, serve until Ctrl-C
	@exec $(BIN)/python -m devstack up

demo: setup ## start everything, play the stories as a transcript, stop, exit 0
	@exec $(BIN)/python -m devstack demo

test: setup ## every test, on real PostgreSQL, NATS and Envoy
	$(PYTEST) -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(SUITES)

test-unit: setup ## the tests that need no server, in seconds
	$(PYTEST) -m unit $(SUITES)

simulate: setup ## play sagas through invented trouble (SCHEDULES=100000 SEED=0); a failing seed is told line by line
	$(BIN)/python -m libs.common.tests.simulator --schedules $(or $(SCHEDULES),100000) --seed $(or $(SEED),0)

chaos: setup ## kill, pause, cut and harm parts in traffic, over and over; it goes on where it was (KILLS=9 TIMES=3 ONLY='*')
	$(BIN)/python -m tests.chaos --kills $(or $(KILLS),9) --times $(or $(TIMES),3) --only '$(or $(ONLY),*)'

outage: setup ## keep the broker away while ROWS=100000 messages are written, and count what comes out afterwards
	$(BIN)/python -m libs.common.tests.messaging.outage --rows $(or $(ROWS),100000)

bench: setup ## measure beside the limits, as ratios in one run (ONLY=holds,sagas ROUNDS=3 SECONDS=5 SIZE=small MINUTES=60 RECORD=1)
	GRPC_ENABLE_FORK_SUPPORT=0 $(BIN)/python -m bench --only '$(ONLY)' --rounds $(or $(ROUNDS),3) \
		--seconds $(or $(SECONDS),5) --size $(or $(SIZE),small) --minutes $(or $(MINUTES),60) $(if $(RECORD),--record)

lint: setup ## style, types, import directions, contracts, generated files
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy $(addprefix -p ,$(MODULES))
	$(BIN)/mypy conftest.py $(SUITES)
	$(BIN)/lint-imports
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code
	$(BIN)/python protos/generate.py --check

format: setup ## put the sources into the one format
	$(BIN)/ruff format
	$(BIN)/ruff check --fix
	$(BIN)/buf format --write

proto: setup ## generate libs/api from protos/, and what deploy/ takes from elsewhere
	$(BIN)/python protos/generate.py
	$(BIN)/python -m deploy.generate
	$(BIN)/python -m deploy.observability

k8s: setup ## render every overlay, validate it, and hold it against the rules for pods
	@deploy/check.sh $(BIN)/python
	$(PYTEST) tests/k8s

k8s-smoke: setup ## play the stories on the dev overlay in kubectl's cluster, and audit it (docs/operations.md says how to install it)
	$(BIN)/python -m deploy.smoke

images: setup ## build the image of every part, look into each, and play one (PARTS=booking BASE_IMAGE=... BUILDER=... TWICE=1)
	@deploy/images.sh $(PARTS)
	$(PYTEST) -rs tests/k8s/test_play.py

lock: ## resolve requirements.in again, newest versions, with hashes
	@requirements/lock.sh
	@deploy/lock.sh

clean: ## remove the state of the dev stack and everything that was built
	@if $(BIN)/python -c 'import typer, rich' 2>/dev/null; then $(BIN)/python -m devstack clean; fi
	rm -rf .run .chaos .tools $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .setup.lock
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find libs services -name '*.egg-info' -type d -prune -exec rm -rf {} +

$(VENV)/.locked: $(LOCK) requirements/install.sh $(FOREIGN)
	@requirements/install.sh locked $(VENV)

$(VENV)/.packages: $(VENV)/.locked $(PACKAGES)
	@requirements/install.sh packages $(VENV) $(dir $(PACKAGES))
