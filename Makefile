# The two commands that matter: `make demo` shows it, `make test` proves it. Each sets up all it needs.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
KIND := $(PYTHON) deploy/kind
CRD := workshopdemos.workshopdemo.dev.yaml
# So many e2e tests wait at the same time; they wait far more than they work.
WORKERS ?= 10
# Those that ship many lines work all the time.
BUSY_WORKERS ?= 3

.PHONY: help
help: ## This list.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 14

.PHONY: demo
demo: ## The bookshop on a real three-node cluster (CONTEXT=name IMAGE=repository:tag: on yours).
	@$(KIND) demo

.PHONY: cluster down images push
cluster: ## A three-node kind cluster named workshop.
	@$(KIND) up
down: ## Remove the cluster; caches stay.
	@$(KIND) down
images: ## Have every image of the demos here.
	@$(KIND) images
push: ## Every image, into a registry that your cluster can pull from (REGISTRY=host:port/path).
	@$(KIND) push "$(REGISTRY)"

.PHONY: test lint unit chart e2e
test: lint unit chart e2e ## Every test there is, on a real cluster too.

lint: $(READY) ## ruff, mypy, import contracts, freshness of what is generated.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	MYPYPATH=deploy/kind $(BIN)/mypy --strict deploy/kind
	MYPYPATH=bench:tests/e2e:tests $(BIN)/mypy --strict --follow-imports=silent bench
	MYPYPATH=docs/generate $(BIN)/mypy --strict docs/generate
	PYTHONPATH=operator $(BIN)/lint-imports --no-logo
	$(BIN)/python docs/generate --check
	cmp crds/$(CRD) charts/workshop-demo/files/$(CRD)

unit: $(READY) ## Tests without a cluster, in about a minute.
	$(BIN)/pytest tests/unit -q -n auto

chart: $(READY) ## The Helm chart's tests.
	HELM="$$($(KIND) tool helm)" KUBE_SCORE="$$($(KIND) tool kube-score)" $(BIN)/pytest tests/chart -q -n auto

e2e: $(READY) ## Tests on a kind cluster of their own, workshop-test.
	$(BIN)/pytest tests/e2e -q -m "not busy and not disruptive" -n $(WORKERS) --maxschedchunk=1 --durations=5
	$(BIN)/pytest tests/e2e -q -m busy -n $(BUSY_WORKERS) --maxschedchunk=1 --durations=5
	$(BIN)/pytest tests/e2e -q -m disruptive --durations=10

.PHONY: bench
bench: $(READY) ## The project's numbers, measured on a kind cluster of their own (BENCH=--help).
	PYTHONPATH=operator:tests:tests/e2e $(BIN)/python bench $(BENCH)

.PHONY: docs chart-crd lock golden clean
docs: $(READY) ## Write the generated pages anew: references, and the picture.
	@$(BIN)/python docs/generate

chart-crd: ## Copy the CRD into the chart.
	cp crds/$(CRD) charts/workshop-demo/files/

golden: $(READY) ## Write the golden manifests anew; read the diff.
	$(BIN)/pytest tests/unit/test_plan.py -q --update-golden

LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate pyproject.toml
lock: $(READY) ## Lock the dependencies anew, with hashes.
	$(LOCK) --upgrade -o requirements/runtime.txt
	$(LOCK) --upgrade --group dev -c requirements/runtime.txt -o requirements/dev.txt

clean: ## Remove what was made in this folder; the cluster and its caches stay.
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .pytest-kind .import_linter_cache dist

$(READY): requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed; name it: make PYTHON=python3.13 $(MAKECMDGOALS)"; exit 1; }
	@echo "Setting up $(VENV) (once, about a minute)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@
