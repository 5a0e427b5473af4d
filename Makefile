# make help lists the targets. Each sets up what it needs: Python 3.11 to 3.13 and make are enough.

PYTHON ?= >=3.11,<3.14
UV := $(or $(shell command -v uv),.uv/bin/uv)
BIN := .venv/bin
READY := .venv/ready
WORKSPACE := protos zoo server client

export UV_PYTHON_DOWNLOADS := never
export UV_PYTHON_PREFERENCE := only-system
export UV_SYSTEM_CERTS := true

.PHONY: help setup demo test check format protos bench fuzz serve containers lock

help:
	@echo 'make demo              reuse a network on handwritten digits: a table and a picture in build/demo'
	@echo 'make demo ASSETS=DIR   the same with a real ResNet-8 and JPEG files'
	@echo 'make serve             run a server on 127.0.0.1:8470, its data in data/ (DATA=DIR, LISTEN=HOST:PORT)'
	@echo 'make test              run the tests (ARGS=... goes to pytest)'
	@echo 'make check             format, lint, types, import direction, stubs, lock'
	@echo 'make format            format the code and repair what lint can repair'
	@echo 'make protos            generate the stubs from protos/'
	@echo 'make bench             run the benchmarks (QUICK=1: smaller, the same wanted figures)'
	@echo 'make fuzz              two minutes of fuzzing of what reads foreign files (SECONDS=N: longer)'
	@echo 'make containers        build the image and train one job against it, where a docker engine answers'
	@echo 'make lock              write requirements.lock (UPGRADE=1: with the newest versions)'
	@echo 'make setup             only set up'

setup: $(READY)

demo: $(READY)
	$(BIN)/python examples/demo $(if $(ASSETS),--assets $(ASSETS))

test: $(READY)
	$(BIN)/pytest $(ARGS)

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -q tests/test_architecture.py tests/test_protos.py tests/test_lock.py
	@if command -v npx >/dev/null; then cd protos && npx --yes @bufbuild/buf@1.75.0 lint; \
	else echo 'buf lint: left out, npx is not here'; fi

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

protos: $(READY)
	$(BIN)/python protos/generate.py protos

bench: $(READY)
	$(BIN)/python benchmarks $(if $(QUICK),--quick)

# The fuzzer exists for Linux on x86-64 alone, so it stays out of what everybody installs.
fuzz: $(READY)
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --require-hashes --requirement tests/fuzz/requirements.lock
	$(BIN)/python tests/fuzz --seconds $(or $(SECONDS),120) $(ARGS)

serve: $(READY)
	$(BIN)/frostline-server --data $(or $(DATA),data) --listen $(or $(LISTEN),127.0.0.1:8470)

containers: $(READY)
	$(BIN)/pytest -m containers tests/containers

lock: $(UV)
	$(UV) pip compile --group dev --universal --python-version 3.11 --generate-hashes --quiet \
	    --no-header --no-annotate --no-emit-index-url $(if $(UPGRADE),--upgrade) \
	    $(WORKSPACE:%=--no-emit-package frostline-%) --output-file requirements.lock
	$(UV) pip compile --group fuzz --universal --python-version 3.11 --generate-hashes --quiet \
	    --no-header --no-annotate --no-emit-index-url $(if $(UPGRADE),--upgrade) \
	    --output-file tests/fuzz/requirements.lock

# The lock pins and hashes everything; --no-deps keeps the workspace from bringing anything that the lock lacks.
$(READY): requirements.lock pyproject.toml $(WORKSPACE:%=%/pyproject.toml) | $(UV)
	@test -x $(BIN)/python || $(UV) venv --quiet --clear --python '$(PYTHON)' .venv
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes --requirement requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps $(WORKSPACE:%=--editable ./%)
	@$(UV) pip check --quiet --python $(BIN)/python || { echo 'requirements.lock is behind: run make lock'; exit 1; }
	@touch $@

# Installing into a folder leaves the system's Python as it is, also where it is managed by the distribution.
.uv/bin/uv:
	python3 -m pip install --quiet --target .uv 'uv>=0.13,<1' || { python3 -m venv .uv && .uv/bin/pip install --quiet 'uv>=0.13,<1'; }
