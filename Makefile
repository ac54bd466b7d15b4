# Each target does its own set-up, by file dependency: nothing is installed twice, nothing by hand.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
JS := runtimes/js
UPSTREAM := build/venv-upstream
JS_READY := $(JS)/node_modules/.package-lock.json
# each part leaves its durations in build/junit, which tools/durations.py shows together
PYTEST = $(BIN)/python -m pytest --junitxml=build/junit/$@.xml --durations=25 --durations-min=1

.PHONY: help demo test lint unit parity cli formats installed js jvm spark spark-jar test-spark-matrix test-matrix test-grid test-long teeth upstream test-upstream upstream-page soak setup workers wheel bench bench-spark clean readme
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: setup ## train digits-cnn, convert it to every format, run every artifact, print the verdict
	$(BIN)/python tools/jvm.py build-if-possible
	$(BIN)/exporter convert digits-cnn -o build/digits-cnn

test: workers ## lint, types, JavaScript, JVM, unit, protocol, Spark, command line, docs, parity: under 15 minutes
	$(MAKE) --no-print-directory --jobs=2 --output-sync=target parity spark cli formats unit js lint

lint: setup ## ruff, mypy --strict and tsc
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy exporter
	$(BIN)/python tools/npm.py run check

js: setup ## the JavaScript workers' own tests
	$(BIN)/python tools/npm.py test

jvm: workers ## the JVM modules' own tests
	$(BIN)/python tools/jvm.py mvn --quiet verify

# not by prerequisite: make would begin with the next part of the tests before it comes back to this one
spark: workers ## the JVM modules' own tests, then the Spark library and its application on clusters of processes
	$(BIN)/python tools/jvm.py verify
	$(PYTEST) tests/spark/test_cluster.py -m "not matrix"

spark-jar: workers ## build and check the one jar to submit: runtimes/jvm/dist/target/exporter-spark_*.jar
	$(BIN)/python tools/spark.py jar

test-spark-matrix: workers ## the whole library on a cluster, Spark 3.5, pip's newest, the one jar, workers built from the wheel
	$(BIN)/python tools/jvm.py package
	$(PYTEST) tests/spark/test_cluster.py -m matrix
	$(BIN)/python tools/spark.py all
	$(PYTEST) tests/wheel/test_build.py --junitxml=build/junit/$@-wheel.xml

test-matrix: workers ## every quantized recipe in every runtime, every layer and refusal of TF.js, all of Keras 2, damaged files
	$(PYTEST) tests/parity tests/formats tests/cli tests/docs --ignore=tests/parity/grid -m matrix

test-long: ## what .ci/run runs after `make test`, two parts at a time
	$(MAKE) --no-print-directory --jobs=2 --output-sync=target test-spark-matrix test-grid test-matrix installed teeth

teeth: setup ## whether the tests bite: recorded faults of the product, each caught by the test that is named for it
	$(BIN)/python tools/teeth.py

test-grid: setup ## every layer of Keras with its options, in every float format and the engines' runtimes
	$(PYTEST) tests/parity/grid

upstream: $(UPSTREAM)/.ready ## the published TF.js converter in an environment of its own: 3 GB, Python 3.11 or 3.12

test-upstream: setup upstream ## the published TF.js converter and ours on the same models, in TF.js; docs/upstream.md
	$(PYTEST) tests/upstream

upstream-page: setup upstream ## regenerate docs/upstream.md from a real run
	$(BIN)/python tools/upstream_page.py

soak: workers ## native memory of each engine of the JVM over 100,000 batches: minutes
	$(BIN)/python tools/jvm.py mvn --quiet --projects=tensorflow,onnxruntime,tflite --also-make \
		-Dtest='*MemoryTest' -Dsurefire.failIfNoSpecifiedTests=false -Dexporter.soak.batches=100000 test

bench-spark: workers ## ratios of ways to score in Spark, one run
	$(BIN)/python tools/jvm.py mvn --quiet -Pbench --projects=bench --also-make -DskipTests package
	$(BIN)/python benchmarks/spark.py

unit: setup ## tests that need no TensorFlow: seconds
	$(PYTEST) tests/unit tests/protocol --ignore=tests/protocol/conformance

parity: workers ## the reference models, real artifacts in real runtimes, and the docs
	$(PYTEST) tests/reference_models tests/protocol/conformance tests/parity tests/docs -m "not matrix"

cli: workers ## the command line
	$(PYTEST) tests/cli -m "not matrix"

formats: workers ## the writers and readers of each format
	$(PYTEST) tests/formats -m "not matrix"

installed: workers ## the built wheel, installed into an empty environment
	$(PYTEST) tests/wheel/test_wheel.py

setup: $(READY) $(JS_READY)

# the tool compares the sources by content, which file dates in a fresh clone would not tell
workers: setup ## build the JVM workers; installs a missing JDK or Maven as root on Debian
	$(BIN)/python tools/jvm.py build

$(READY): requirements.lock requirements-node.lock requirements-keras2.lock pyproject.toml tools/setup.py
	$(PYTHON) tools/setup.py $(VENV)
	touch $@

$(JS_READY): $(READY) $(JS)/package.json $(JS)/package-lock.json
	$(BIN)/python tools/npm.py ci --ignore-scripts --no-audit --no-fund
	touch $@

$(UPSTREAM)/.ready: requirements-upstream.lock tools/upstream.py
	$(PYTHON) tools/upstream.py $(UPSTREAM)
	touch $@

wheel: $(READY) ## build dist/*.whl
	$(BIN)/python -m hatchling build -t wheel

bench: setup upstream ## ratios against the upstream tools, one run
	$(BIN)/python benchmarks/convert.py
	$(BIN)/python benchmarks/tfjs.py

readme: setup ## regenerate the tables in README.md from real runs
	$(BIN)/python tools/readme.py
	$(BIN)/python tools/quantization.py
	$(BIN)/python tools/tfjs.py
	$(BIN)/python tools/support.py

clean: ## remove what the targets made, except downloads
	rm -rf build dist $(VENV) $(JS)/node_modules runtimes/jvm/*/target .mypy_cache .ruff_cache .pytest_cache
