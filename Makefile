# Two commands for a newcomer: `make demo` runs the main job, `make test` passes the tests. Each sets up what it needs.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Trust the system's certificates, which may include an institute's own authority.
export UV_SYSTEM_CERTS ?= true
# Many short processes: compiled once, their imports take half the time.
export PYTHONDONTWRITEBYTECODE :=
DEMO_FLAGS := $(if $(EXIT),--exit)

# pytest's options without those that leave out what needs a Kubernetes API server.
WITH_K8S := -ra --strict-markers --strict-config

.PHONY: demo dev check pythons docs soak soak-surveys test test-k8s services lint bench bench-delivery bench-events bench-messengers bench-observing bench-portal bench-storage bench-surveys bench-vetting setup constraints clean help

VENV_TOM := .venv-tom
BIN_TOM := $(VENV_TOM)/bin
# The TOM keeps its state and the key of its sessions in .tom/
TOM = DJANGO_SECRET_KEY="$$(cat .tom/secret)" TOM_DATA_DIR=$(CURDIR)/.tom TOM_TEST_EVENTS=true TOM_KAFKA_FROM_BEGINNING=true $(BIN_TOM)/python -m mma_pipeline.tom

.PHONY: tom tom-retract test-tom bench-tom setup-tom

help: ## show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 22

demo: setup ## run everything on this machine with a simulated event (EXIT=1: stop when done)
	$(BIN)/mma demo $(DEMO_FLAGS)

# Where `make dev` serves the portal.
PORTAL_PORT ?= 3001

dev: setup ## Dagster on dagster_home with the streams that the environment configures, and the portal
	@export DAGSTER_HOME=$(CURDIR)/dagster_home MMA_PORTAL_URL=$${MMA_PORTAL_URL:-http://127.0.0.1:$(PORTAL_PORT)}; \
	$(BIN)/mma serve --port $(PORTAL_PORT) & portal=$$!; trap 'kill $$portal 2>/dev/null' EXIT; \
	$(BIN)/dagster dev -w workspace.yaml

# Lint and the tests of the TOM run beside the others, which partly wait: no core idles meanwhile. What they print comes at the
# end. There are as many processes as keep all cores busy: threads of the linear algebra would only wait for one another.
test: export OMP_NUM_THREADS = 1
test: setup setup-tom services ## all tests, those of the TOM in its own environment, lint, types, import directions
	@echo "servers for the tests: the first time some minutes, MinIO, an API server and oauth2-proxy are built"
	@PYTHONPATH=$(CURDIR) $(BIN)/python -m tests.services.installed azurite swift minio kubernetes oauth2-proxy oidc-provider
	@mkdir -p build
	@make --no-print-directory lint >build/lint.log 2>&1 & lint=$$!; \
	  make --no-print-directory test-tom >build/test-tom.log 2>&1 & tom=$$!; \
	  $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder --durations=40 --durations-min=5 \
	    -o addopts="$(WITH_K8S) --ignore=tests/tom"; main=$$?; \
	  wait $$lint; lint=$$?; wait $$tom; tom=$$?; cat build/lint.log build/test-tom.log; \
	  test $$main = 0 -a $$tom = 0 -a $$lint = 0 || { echo "failed: tests $$main, TOM $$tom, lint $$lint"; exit 1; }

services: ## programs that the tests' real services need, where they are missing
	@tests/services/system.sh

test-k8s: setup services ## chart and launcher on a real Kubernetes API server (needs Go, which builds it once); alerts end to end; the login
	@echo "API server and oauth2-proxy for the tests: the first time some minutes, they are built"
	@PYTHONPATH=$(CURDIR) $(BIN)/python -m tests.services.installed kubernetes oauth2-proxy oidc-provider
	$(BIN)/python -m pytest -n 2 --dist loadfile -o addopts="$(WITH_K8S)" tests/k8s/test_api_server.py tests/k8s/test_login.py tests/k8s/test_portal_login.py tests/k8s/test_production.py

soak: setup ## the kill test for an hour (MINUTES=60): real Kafka and PostgreSQL, everything dies at random moments
	PYTHONPATH=$(CURDIR) $(BIN)/python -m tests.delivery.storm --minutes $(or $(MINUTES),60)

soak-surveys: setup ## survey alerts on a real Kafka and PostgreSQL while readers, broker and database die (ALERTS=100000, DEATHS=30): an hour
	PYTHONPATH=$(CURDIR) $(BIN)/python -m tests.delivery.survey_storm --alerts $(or $(ALERTS),100000) --deaths $(or $(DEATHS),30)

# Tests of notices, arrays, files and declarations that need neither a server nor another process, and take seconds.
QUICK := tests/notices tests/test_quality.py tests/test_secrets.py tests/test_settings.py tests/adapters/test_archive.py \
  tests/adapters/archive/test_statements.py tests/adapters/store/test_environment.py tests/adapters/publishing/test_gwtm_fields.py \
  tests/science/test_skymap.py tests/science/test_crossmatch.py tests/science/test_credible_level.py tests/science/test_versions.py \
  tests/science/test_galaxies.py

check: setup lint ## run the quick part of `make test`: lint, types, import directions, tests without servers
	$(BIN)/python -m pytest -q -n 2 -m "not server" $(QUICK)

pythons: setup ## install the pins and run the quick tests with every supported Python found (PYTHONS="python3.12 …")
	@for python in $(or $(PYTHONS),python3.11 python3.12 python3.13); do \
	  $$python -c '' 2>/dev/null || { echo "$$python is not here: not tried"; continue; }; \
	  echo "== $$python"; name=build/$$(basename $$python); \
	  $$python -m venv --clear $$name && $(BIN)/uv pip install -q --python $$name/bin/python --require-hashes -r constraints.txt && \
	  PYTHONPATH=$(CURDIR) $$name/bin/python -m pytest -q -n 2 -m "not server" $(QUICK) || exit 1; done

docs: setup ## build the documentation site in build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build -q -f .mkdocs.yml
	@echo "build/site/index.html"

lint: setup ## run ruff, mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@mkdir -p build; $(BIN)/mypy >build/mypy.log 2>&1 & types=$$!; \
	  PATH=$(CURDIR)/$(BIN):$$PATH $(BIN)/lint-imports; imports=$$?; \
	  wait $$types; types=$$?; cat build/mypy.log; test $$imports = 0 -a $$types = 0

bench: setup ## compare cost and accuracy with what a user would run instead, one JSON line each
	PYTHONPATH=$(CURDIR) $(BIN)/python benchmarks/skymaps.py

bench-events: setup ## compare galaxies, cross-match, whole alerts and large maps with what a user would run, one JSON line each
	PYTHONPATH=$(CURDIR) $(BIN)/python benchmarks/events.py

bench-messengers: setup services ## seconds from the second notice to the pair, and a year of 40,000 versions, one JSON line each
	PYTHONPATH=$(CURDIR) $(BIN)/python -W ignore benchmarks/messengers.py --pairs $(or $(PAIRS),20) --partitions $(or $(PARTITIONS),40000)

bench-observing: setup ## compare coverage, windows and forecast with what a user would run, one JSON line each
	PYTHONPATH=$(CURDIR) $(BIN)/python benchmarks/observing.py
	PYTHONPATH=$(CURDIR) $(BIN)/python -W ignore benchmarks/windows.py
	PYTHONPATH=$(CURDIR) $(BIN)/python -W ignore benchmarks/forecast.py

bench-portal: setup ## the portal's lists, pages and memory with 10,000 events, one JSON line each
	PYTHONPATH=$(CURDIR) $(BIN)/python -W ignore benchmarks/portal.py

bench-storage: setup ## compare the rate of a move between stores with a plain sequential copy
	PYTHONPATH=$(CURDIR) $(BIN)/python benchmarks/storage.py

bench-surveys: setup services ## survey packets, decisions, a new map against kept rows, nights, a real Kafka: an hour, one JSON line each
	PYTHONPATH=$(CURDIR) $(BIN)/python benchmarks/survey_packets.py
	PYTHONPATH=$(CURDIR) $(BIN)/python benchmarks/surveys.py
	PYTHONPATH=$(CURDIR) $(BIN)/python -W ignore benchmarks/survey_night.py --alerts $(or $(ALERTS),30000)
	PYTHONPATH=$(CURDIR) $(BIN)/python -W ignore benchmarks/survey_stream.py --minutes $(or $(MINUTES),30)

bench-delivery: setup services ## measure latency of both lanes, 50,000 partitions, a backfill of 1,000: an hour on an idle machine
	PYTHONPATH=$(CURDIR) $(BIN)/python -W ignore benchmarks/latency.py --alerts $(or $(ALERTS),50)
	PYTHONPATH=$(CURDIR) $(BIN)/python -W ignore benchmarks/scale.py
	PYTHONPATH=$(CURDIR) $(BIN)/python -W ignore benchmarks/backfill.py --versions $(or $(VERSIONS),1000)

bench-vetting: setup ## vet 1,000 candidates against 2 million galaxies and 10 million stars, beside astropy in memory
	PYTHONPATH=$(CURDIR) $(BIN)/python benchmarks/vetting.py

bench-kilonova: setup ## compare the kilonova model's performance with its goals, one JSON line each
	$(BIN)/python benchmarks/kilonova.py

setup: $(VENV)/ready ## make a virtual environment with every dependency, pinned by hash

$(VENV)/ready: constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed (set PYTHON=…)"; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv --clear $(VENV) 2>/dev/null || \
	  { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq python3-venv && $(PYTHON) -m venv --clear $(VENV); } || \
	  { echo "cannot make a virtual environment: install python3-venv"; exit 1; }
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --require-hashes -r <(sed -n '/^uv==/,/[^\\]$$/p' constraints.txt)
	$(BIN)/uv pip install -q --compile-bytecode --python $(BIN)/python --require-hashes -r constraints.txt
	$(BIN)/uv pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

constraints: ## resolve the dependencies again
	$(BIN)/uv pip compile pyproject.toml --extra dev --extra train --extra docs --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-header -q -o constraints.txt
	$(BIN)/uv pip compile pyproject.toml -c constraints.txt --universal --python-version 3.11 --generate-hashes --no-annotate \
	  --no-emit-index-url --no-emit-find-links --no-header -q -o constraints-run.txt
	$(BIN)/python -c 'import tomllib; e = tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]; print(*e["tom"], *e["tom-dev"], sep="\n")' \
	  | $(BIN)/uv pip compile - --universal --python-version 3.11 --generate-hashes --no-annotate \
	  --no-emit-index-url --no-emit-find-links --no-header -q -o constraints-tom.txt

tom: setup-tom ## run the TOM with a simulated event; MMA_KAFKA_BOOTSTRAP=host:port reads the alerts of a running pipeline
	@mkdir -p .tom && { test -s .tom/secret || (umask 077; head -c 48 /dev/urandom | base64 -w0 > .tom/secret); }
	$(TOM) mma_serve --demo

tom-retract: setup-tom ## retract the simulated event of a running `make tom`
	$(TOM) mma_demo_event --retract

test-tom: setup-tom services ## run all tests of the TOM, in its own environment, with browser and OpenID Connect providers
	cd tests/tom/node && npm ci --silent --no-audit --no-fund
	@echo "Keycloak for the tests: the first time 176 MB are fetched"
	@PYTHONPATH=$(CURDIR) $(BIN_TOM)/python -m tests.services.installed keycloak
	$(BIN_TOM)/python -m pytest -c tests/tom/pytest.ini tests/tom

bench-tom: setup-tom ## measure the TOM's query over 10,000 derived alerts, one JSON line each
	$(BIN_TOM)/python benchmarks/tom_query.py

setup-tom: $(VENV_TOM)/ready ## make the TOM's virtual environment, pinned by hash: the toolkit's pins exclude ours

$(VENV_TOM)/ready: constraints-tom.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed (set PYTHON=…)"; exit 1; }
	@test -x $(BIN_TOM)/pip || $(PYTHON) -m venv --clear $(VENV_TOM) 2>/dev/null || \
	  { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq python3-venv && $(PYTHON) -m venv --clear $(VENV_TOM); } || \
	  { echo "cannot make a virtual environment: install python3-venv"; exit 1; }
	$(BIN_TOM)/python -m pip install -q --disable-pip-version-check --no-deps --require-hashes -r <(sed -n '/^uv==/,/[^\\]$$/p' constraints-tom.txt)
	$(BIN_TOM)/uv pip install -q --compile-bytecode --python $(BIN_TOM)/python --require-hashes -r constraints-tom.txt
	$(BIN_TOM)/uv pip install -q --python $(BIN_TOM)/python --no-deps --no-build-isolation -e .
	@touch $@

clean: ## remove the environment, caches and the demo's state
	rm -rf $(VENV) $(VENV_TOM) .tom tests/tom/node/node_modules dagster_home/demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
