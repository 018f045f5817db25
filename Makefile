# Every target explains itself: `make help`. Two are enough for a start: `make demo` and `make test`.
# What is needed is installed into .venv and .build, from package registries, in the versions of requirements.lock.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
BEAM_VERSION := 2.77.0
PRISM := .build/prism/prism
BOOT := .build/boot/container
FLINK := .build/flink/classpath.txt
MAVEN_DEPENDENCY := org.apache.maven.plugins:maven-dependency-plugin:3.3.0
DYNOXIDE_VERSION := 3.2.0
DYNOXIDE := .build/dynoxide/bin/dynoxide
PIP_AUDIT := 2.10.1
AUDITED := .build/audit/audited
PIPELINES := $(patsubst pipelines/%.py,%,$(shell grep -l '^def main' pipelines/*.py))
CLEAN := .build/package
export AWS_EC2_METADATA_DISABLED := true

.PHONY: help demo test check format prism boot flink soak nightly mutants bench contract notebooks docs audit package clean

help:  ## What can be made
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

demo: $(READY)  ## The main job, on a local service: changes of an orders table to Parquet and Avro, read back and checked
	@$(BIN)/python -m pipelines.demo

test: $(READY) check prism boot flink  ## All tests but the long ones; names what could not run for want of Go or Java
	$(BIN)/python -m pytest -q

check: $(READY) $(AUDITED)  ## Style and types: ruff, mypy --strict; dependencies that fit each other, without known holes
	$(BIN)/ruff check --output-format concise .
	$(BIN)/ruff format --check -q .
	$(BIN)/mypy
	@$(BIN)/python -m pip check

audit:  ## Asks again what is known against the dependencies in requirements.lock (OSV's database, by network)
	@rm -f $(AUDITED)
	@$(MAKE) --no-print-directory $(AUDITED)

# Once for each lock. pip-audit tells holes and a database that it cannot reach by the same exit code, but then no report.
$(AUDITED): requirements.lock
	@mkdir -p $(dir $@) && rm -f $(dir $@)report
	@test -x $(dir $@)bin/pip-audit || \
	  { $(PYTHON) -m venv $(dir $@) && $(dir $@)bin/python -m pip install -q pip-audit==$(PIP_AUDIT); } || true
	@$(dir $@)bin/pip-audit -r $< --no-deps --disable-pip -s osv --timeout 5 --progress-spinner off \
	  -f markdown -o $(dir $@)report >$(dir $@)said 2>&1; code=$$?; \
	if [ $$code = 0 ]; then touch $@; \
	elif [ -s $(dir $@)report ]; then cat $(dir $@)report; exit 1; \
	else echo "NOT RUN: the audit of the dependencies reaches no database ($(dir $@)said tells why)"; fi

format: $(READY)  ## Formats the code
	$(BIN)/ruff check --fix -q .
	$(BIN)/ruff format -q .

prism: $(PRISM)  ## Beam's local streaming runner, built with Go into .build/prism (for want of Go: says so, and goes on)

$(PRISM):
	@if command -v go >/dev/null; then \
	  echo "building prism $(BEAM_VERSION) (about 2 minutes, once)" && mkdir -p $(dir $(PRISM)) && \
	  GOBIN=$(abspath $(dir $(PRISM))) GOFLAGS=-buildvcs=false go install github.com/apache/beam/sdks/v2/go/cmd/prism@v$(BEAM_VERSION) || \
	  echo "NOT BUILT: prism, for the reason above; the tests that need it will be named as not run"; \
	else echo "NOT BUILT: prism needs Go; the tests that need it will be named as not run"; fi

boot: $(BOOT)  ## What Beam's Python containers start with, built with Go into .build/boot: installs what a job stages

$(BOOT):
	@if command -v go >/dev/null; then \
	  mkdir -p $(dir $(BOOT)) && \
	  GOBIN=$(abspath $(dir $(BOOT))) GOFLAGS=-buildvcs=false go install github.com/apache/beam/sdks/v2/python/container@v$(BEAM_VERSION) || \
	  echo "NOT BUILT: boot, for the reason above; the test that needs it will be named as not run"; \
	else echo "NOT BUILT: boot needs Go; the test that needs it will be named as not run"; fi

flink: $(FLINK)  ## Beam's job server and Flink, resolved with Maven into .build/flink (for want of Java: says so, and goes on)

$(FLINK): runners/flink/pom.xml
	@if command -v mvn >/dev/null && command -v java >/dev/null; then \
	  echo "resolving flink and beam's job server (about 1 minute, once)" && mkdir -p $(dir $(FLINK)) && \
	  mvn -B -q -f runners/flink/pom.xml $(MAVEN_DEPENDENCY):build-classpath -Dmdep.outputFile=$(abspath $(FLINK)) || \
	  echo "NOT BUILT: flink, for the reason above; the tests that need it will be named as not run"; \
	else echo "NOT BUILT: flink needs Java and Maven; the tests that need it will be named as not run"; fi

soak: $(READY) prism flink  ## The tests of more than two minutes
	$(BIN)/python -m pytest -q -m soak --timeout 1800

nightly: $(READY)  ## The life-cycle machine with a hundred times as many examples, new ones each time (benchmarks/nightly.md)
	$(BIN)/python -m pytest -q --hypothesis-profile=nightly --hypothesis-show-statistics --timeout 0 \
	  tests/properties/test_life_cycle.py

mutants: $(READY)  ## Disables the handling of each of the 21 traps in turn, in a copy, and requires its named test to fail
	@$(BIN)/python -m tests.mutants

contract: $(READY) $(DYNOXIDE)  ## The contract tests alone, also on dynoxide, and on CONNECTOR_TEST_ENDPOINT if it is set
	$(BIN)/python -m pytest -q tests/contract

$(DYNOXIDE):
	@if command -v cargo >/dev/null; then \
	  echo "building dynoxide $(DYNOXIDE_VERSION) (about 4 minutes, once)" && \
	  cargo install dynoxide-rs --version $(DYNOXIDE_VERSION) --locked --root .build/dynoxide -q \
	    --no-default-features --features native-sqlite,http-server,cli; \
	else echo "NOT BUILT: dynoxide needs cargo; its runs of the contract will be named as not run"; fi

bench: $(READY) prism  ## What reading costs, in tables (about 40 minutes; benchmarks/README.md has ours, and the hour's run)
	@for part in records export shards latency sinks scaling; do echo && echo "== $$part" && $(BIN)/python -m benchmarks.$$part || exit 1; done

notebooks: $(READY) prism  ## Runs the notebooks and keeps their outputs; the tests run them too
	$(BIN)/python -m tests.notebooks.executed

docs: $(READY)  ## The API reference, from docstrings, into .build/docs
	@$(BIN)/python -m docs.reference .build/docs

package: $(READY)  ## Wheel and sdist into dist, each installed in a clean environment, imported, every command asked for help
	@rm -rf dist $(CLEAN) && mkdir -p .build
	@$(BIN)/python -m build --no-isolation -o dist . >.build/built 2>&1 || { cat .build/built; exit 1; }
	@$(PYTHON) -m venv $(CLEAN)
	@for built in dist/*.whl dist/*.tar.gz; do \
	  echo "$$built in a clean environment" && \
	  $(CLEAN)/bin/python -m pip install -q --force-reinstall $$([ -e $(CLEAN)/filled ] && echo --no-deps) $$built && \
	  touch $(CLEAN)/filled && cd $(CLEAN) && \
	  bin/python -c "import beam_dynamodb_streams, beam_dynamodb_streams.testing; print('connector', sorted(beam_dynamodb_streams.__all__))" && \
	  for name in $(PIPELINES); do bin/python -m pipelines.$$name --help >/dev/null && echo "pipelines.$$name" || exit 1; done && \
	  bin/python -m beam_dynamodb_streams.testing --help >/dev/null && bin/python -m pip check && cd ../.. || exit 1; \
	done

clean:  ## Removes what was built and installed here
	rm -rf $(VENV) .build build dist *.egg-info demo-output

$(READY): requirements.lock pyproject.toml setup.py
	@echo "setting up $(VENV) (about 2 minutes, once)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q -r requirements.lock
	@$(BIN)/python -m pip install -q --no-deps --no-build-isolation -e .
	@touch $@
