.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
PROTOS := $(shell find protos -name '*.proto')
SERVICE_PROTOS := $(filter %_service.proto,$(PROTOS))
PACKAGES := svckit identity_svc event_svc knowledge_svc gateway kithctl
# One more than there are cores: tests wait for their databases and services half of the time.
WORKERS = $$($(BIN)/python -c 'import os; print(min(os.cpu_count() + 1, 8))')
# Outside a terminal nobody wants progress bars of pip.
PIP := $(BIN)/pip --disable-pip-version-check -q

# Every target that needs Python depends on the stamp, so one command on a fresh clone sets itself up.
# pip takes no editable install beside hashes, hence two steps.
.venv/.stamp: pyproject.toml requirements.lock
	@echo "Setting up .venv (once, about a minute) ..."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Kith needs Python 3.11 or newer")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(PIP) install -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: help run demo test system soak gen format lint breaking bench bench-knowledge eval check lock contract

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: .venv/.stamp ## Start everything on the embedded default; Ctrl-C stops it
	@$(BIN)/kith up

demo: .venv/.stamp ## Import a conversation into the running stack, show a timeline and searches
	@$(BIN)/kith demo

test: .venv/.stamp ## Run the tests; ARGS="-k streams" to choose
	@$(BIN)/pytest -n $(WORKERS) --dist worksteal $(ARGS)

system: .venv/.stamp ## Run the tests that start, kill and restart real processes
	@$(BIN)/pytest -m system -n 2 --dist worksteal $(ARGS)

soak: .venv/.stamp ## Run the long tests
	@$(BIN)/pytest -m soak -s $(ARGS)

gen: .venv/.stamp ## Generate gen/ from protos/
	@rm -rf gen/kith
	@$(BIN)/python -m grpc_tools.protoc -Iprotos -Ithird_party --plugin=protoc-gen-mypy=$(BIN)/protoc-gen-mypy \
	  --python_out=gen --mypy_out=quiet:gen $(PROTOS)
	@$(BIN)/python -m grpc_tools.protoc -Iprotos -Ithird_party --plugin=protoc-gen-mypy_grpc=$(BIN)/protoc-gen-mypy_grpc \
	  --grpc_python_out=gen --mypy_grpc_out=quiet:gen $(SERVICE_PROTOS)

format: .venv/.stamp ## Format code and contracts
	@$(BIN)/ruff format -q . && $(BIN)/ruff check -q --fix . && $(BIN)/buf format -w protos

lint: .venv/.stamp ## Check style, types, contracts and architecture
	@$(BIN)/ruff format -q --check . && $(BIN)/ruff check -q .
	@$(BIN)/mypy
	@$(BIN)/buf lint && $(BIN)/buf format -d --exit-code protos
	@$(BIN)/lint-imports

breaking: .venv/.stamp ## Refuse contract changes that break clients of the last contract
	@$(BIN)/buf breaking protos --against protos/contract.binpb

contract: .venv/.stamp ## Make today's contract the one that `breaking` compares with
	@$(BIN)/buf build protos -o protos/contract.binpb

eval: .venv/.stamp ## Measure what search finds, by mode
	@$(BIN)/python -m evaluation $(ARGS)

bench: .venv/.stamp ## Measure, beside the floors of the same run
	@$(BIN)/python -m bench $(ARGS)

bench-knowledge: .venv/.stamp ## Of that only search over 100,000 items, beside raw pgvector queries
	@$(BIN)/python -m bench knowledge $(ARGS)

lock: .venv/.stamp ## Pin the dependencies anew, with hashes
	@$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --extra all --extra dev pyproject.toml -o requirements.lock -q

check: lint breaking test system ## What CI runs
	@$(MAKE) --no-print-directory gen
	@test -z "$$(git status --porcelain gen)" || { git status --short gen; echo "gen/ differs from protos/: commit what 'make gen' wrote"; exit 1; }
