# The front door. meson does the building; here stands only what a person or CI types.
# `make help` lists the targets; package names are in script/deps, test packages in tests/requirements.txt.

MAKEFLAGS += --no-print-directory
.NOTPARALLEL:
.DEFAULT_GOAL := all

B := build
PYTHON ?= python3
# these come from the command line alone: several shells export a HOST of their own
DIR := var
PORT := 8080
HOST :=
WORKERS :=
DEMO :=
KAFKA :=
SECONDS := 10
BENCH := all
ROUNDS := 5
PYTEST_ARGS :=
# tests wait more than they reckon: more of them than cores
TEST_PROCESSES := 3
EXPLORE := --crashes 1 --losses 2 --sleepers 1
SEED :=
SEEDS := 10
BOOKINGS := 2000
FUZZ_SECONDS := 600
SCHEMATHESIS_SECONDS := 300
export GOTOOLCHAIN := local

# ---- build ---------------------------------------------------------------------------------------------------------

.PHONY: all
all: $(B)/release/build.ninja ## build/boxoffice and build/boxoffice-paysim, optimised
	@ninja -C $(B)/release
	@script/gather $(B)/release $(B)

# Three configurations, each in a folder of its own; meson sees changes to its own files by itself.
$(B)/release/build.ninja: | $(B)/vendor/made-from.txt
	@command -v meson >/dev/null || { echo "meson is not installed: run 'make deps' first" >&2; exit 1; }
	meson setup $(B)/release --buildtype=debugoptimized -Dtests=false
$(B)/asan/build.ninja: | $(B)/vendor/made-from.txt
	meson setup $(B)/asan --buildtype=debug -Doptimization=1 -Db_sanitize=address,undefined -Db_lundef=false
$(B)/valgrind/build.ninja: | $(B)/vendor/made-from.txt
	meson setup $(B)/valgrind --buildtype=debug -Doptimization=1
$(B)/fuzz/build.ninja: | $(B)/vendor/made-from.txt
	CC=clang meson setup $(B)/fuzz --buildtype=debug -Doptimization=1 -Dtests=false -Dfuzz=true \
		-Db_sanitize=address,undefined -Db_lundef=false -Dc_args=-fsanitize=fuzzer-no-link
$(B)/clang/build.ninja: | $(B)/vendor/made-from.txt
	CC=clang meson setup $(B)/clang
$(B)/coverage/build.ninja:
	meson setup $(B)/coverage --buildtype=debug -Doptimization=1 -Db_coverage=true

.PHONY: asan
asan: $(B)/asan/build.ninja ## the same with the address and undefined-behaviour sanitizers, in build/asan
	@ninja -C $(B)/asan
	@script/gather $(B)/asan $(B)/asan

.PHONY: install
install: all ## meson install (DESTDIR is honoured)
	meson install -C $(B)/release --no-rebuild

.PHONY: deb
deb: all ## a Debian package with systemd units, in build/: it starts when /etc/boxoffice/boxoffice.conf names a database
	@script/deb $(B)/release $(B)

.PHONY: clean
clean: ## remove build/ (the data in DIR stays)
	rm -rf $(B)

# ---- packages ------------------------------------------------------------------------------------------------------

.PHONY: deps
deps: ## install what building and running need (Debian packages)
	@script/deps run $(if $(filter-out no 0,$(KAFKA)),kafka)

.PHONY: deps-test
deps-test: ## install what the tests need besides
	@script/deps run test
	@$(MAKE) $(B)/venv/made-from.txt clients kafka
	@cd tests/integration/porcupine && go mod download
	@cd tests/integration/stripe-mock && go mod download

.PHONY: deps-tools
deps-tools: ## install what fuzz, tidy, lint, valgrind and fresh-check need besides
	@script/deps run test tools

# made anew only when the list has other content, not when a checkout touched the file
$(B)/venv/made-from.txt: tests/requirements.txt
	@cmp -s $< $@ && touch $@ || { \
		py=$(PYTHON); "$$py" -c 'import venv, ensurepip' 2>/dev/null || py=/usr/bin/python3; \
		rm -rf $(B)/venv && "$$py" -m venv $(B)/venv && \
		$(B)/venv/bin/python -m pip install --quiet --disable-pip-version-check -r $< && cp $< $@; }

# what is carried in the program but not kept here: fetched by pip, by its hash
.PHONY: vendor
vendor: $(B)/vendor/made-from.txt ## fetch Swagger UI for /docs into build/vendor
$(B)/vendor/made-from.txt: web/docs/requirements.txt
	@cmp -s $< $@ && touch $@ || { \
		py=$(PYTHON); "$$py" -m pip --version >/dev/null 2>&1 || py=/usr/bin/python3; \
		rm -rf $(B)/vendor && \
		"$$py" -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes -r $< -d $(B)/vendor && \
		(cd $(B)/vendor && "$$py" -m zipfile -e *.whl .) && cp $< $@; }

# Apache Kafka from Maven's jars; what runs it is Java: the tests, and `up` with a broker
.PHONY: kafka
kafka: ## fetch Apache Kafka for the tests and for `make up KAFKA=1` into build/kafka
	@script/kafka $(B)/kafka

.PHONY: kafka-sums
kafka-sums: ## after a change of deploy/kafka/pom.xml: write the hashes of its jars anew
	@script/kafka --sums $(B)/kafka

# ---- clients of the API ---------------------------------------------------------------------------------------------

# Generated from api/openapi.yaml and packed, ready to be published: build/clients/dist. What is generated is not kept.
.PHONY: clients
clients: $(B)/clients/python/made $(B)/clients/typescript/made ## the client libraries for Python and TypeScript, in build/clients

$(B)/clients/venv/made-from.txt: clients/python/requirements.txt
	@cmp -s $< $@ && touch $@ || { \
		py=$(PYTHON); "$$py" -c 'import venv, ensurepip' 2>/dev/null || py=/usr/bin/python3; \
		rm -rf $(B)/clients/venv && "$$py" -m venv $(B)/clients/venv && \
		$(B)/clients/venv/bin/python -m pip install --quiet --disable-pip-version-check -r $< && cp $< $@; }

$(B)/clients/python/made: $(B)/clients/venv/made-from.txt api/openapi.yaml $(wildcard clients/python/*)
	@script/clients python $(B)/clients

$(B)/clients/typescript/made: api/openapi.yaml $(wildcard clients/typescript/*) $(wildcard clients/typescript/src/*)
	@script/clients typescript $(B)/clients

# ---- run -----------------------------------------------------------------------------------------------------------

.PHONY: up
up: all $(if $(filter-out no 0,$(KAFKA)),kafka) ## start everything here: DIR=var PORT=8080 HOST= WORKERS= DEMO=no KAFKA=1; Ctrl-C stops it, the data stays
	@exec $(B)/boxoffice up --dir '$(DIR)' --port '$(PORT)' $(if $(HOST),--host '$(HOST)') \
		$(if $(WORKERS),--workers '$(WORKERS)') $(if $(filter no,$(DEMO)),--no-demo) \
		$(if $(filter-out no 0,$(KAFKA)),--kafka)

# ---- test ----------------------------------------------------------------------------------------------------------

SANITIZERS = ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1:suppressions=$(CURDIR)/tests/asan.supp \
	UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 LSAN_OPTIONS=suppressions=$(CURDIR)/tests/lsan.supp:print_suppressions=0

.PHONY: test
test: ## unit and integration tests, under the sanitizers
	@$(MAKE) unit
	@$(MAKE) integration

.PHONY: unit
unit: asan ## the tests beside the code
	@meson test -C $(B)/asan --no-rebuild --suite unit --list 2>/dev/null | grep -q . || { echo "no unit test" >&2; exit 1; }
	@$(SANITIZERS) meson test -C $(B)/asan --no-rebuild --suite unit --print-errorlogs -t 5

.PHONY: integration
integration: asan $(B)/venv/made-from.txt $(B)/history-check $(B)/stripe-mock $(B)/previous clients kafka ## tests against the real servers: TEST_PROCESSES=3 PYTEST_ARGS='-k name -x'
	@BOXOFFICE_BUILD_DIR=$(B)/asan $(B)/venv/bin/python -m pytest -n $(TEST_PROCESSES) --dist loadfile $(PYTEST_ARGS)

.PHONY: explore
explore: $(B)/valgrind/build.ninja ## go through the states of the payment rules: EXPLORE='--crashes 1 --losses 2 --sleepers 1'
	@ninja -C $(B)/valgrind tests/explore/explore
	@$(B)/valgrind/tests/explore/explore $(EXPLORE)

.PHONY: test-long
test-long: asan $(B)/venv/made-from.txt ## what takes hours: everything breaks (SEEDS=10 BOOKINGS=2000, or SEED=), every failure, every parser
	@$(SANITIZERS) $(B)/venv/bin/python tests/faults/torture.py --build $(B)/asan --bookings '$(BOOKINGS)' \
		$(if $(SEED),--seed '$(SEED)',--seeds '$(SEEDS)')
	@BOXOFFICE_BUILD_DIR=$(B)/asan BOXOFFICE_EVERY_FAILURE=1 BOXOFFICE_SCHEMATHESIS_SECONDS='$(SCHEMATHESIS_SECONDS)' \
		$(if $(SEED),BOXOFFICE_SEED='$(SEED)') $(B)/venv/bin/python -m pytest -s tests/faults/test_every_failure.py \
		tests/integration/test_openapi.py -k 'nth_fails or generated_requests'
	@BOXOFFICE_BUILD_DIR=$(B)/asan BOXOFFICE_CANCELLED_BOOKINGS='$(BOOKINGS)' $(if $(SEED),BOXOFFICE_SEED='$(SEED)') \
		$(B)/venv/bin/python -m pytest -s tests/faults/test_show_cancel_faults.py -o timeout=3600
	@$(MAKE) fuzz SECONDS='$(FUZZ_SECONDS)'

.PHONY: coverage
coverage: $(B)/coverage/build.ninja $(B)/venv/made-from.txt $(B)/history-check $(B)/stripe-mock $(B)/previous clients kafka ## lines of src/ that unit and integration tests go through
	@ninja -C $(B)/coverage
	@script/gather $(B)/coverage $(B)/coverage
	@find $(B)/coverage -name '*.gcda' -delete
	@find $(B)/coverage -type d -exec chmod a+w {} + # what runs as another user counts, too
	@meson test -C $(B)/coverage --no-rebuild --suite unit --print-errorlogs -t 5
	@BOXOFFICE_BUILD_DIR=$(B)/coverage $(B)/venv/bin/python -m pytest -m 'not slow' $(PYTEST_ARGS) || \
		echo "some tests fail in this build; whether they should is for make test to say" >&2
	@script/coverage $(B)/coverage 85

.PHONY: bench
bench: $(B)/release/build.ninja $(B)/venv/made-from.txt ## how far from the goals: BENCH=lock,refuse ROUNDS=5; BENCH=list
	@$(if $(filter list,$(BENCH)),:,ninja -C $(B)/release && ninja -C $(B)/release tests/bench/bench_drive tests/bench/bench_static)
	@exec $(B)/venv/bin/python tests/bench/bench.py --build $(B)/release --out $(B)/bench.json --rounds '$(ROUNDS)' --rows '$(BENCH)'

# judges the history of a race: were its locks linearizable? go knows by itself whether something changed
.PHONY: $(B)/history-check
$(B)/history-check:
	@cd tests/integration/porcupine && go vet . && go test -count=1 . >/dev/null && go build -buildvcs=false -o $(CURDIR)/$@ .

# judges what is sent to the payment gateway
.PHONY: $(B)/stripe-mock
$(B)/stripe-mock:
	@cd tests/integration/stripe-mock && go build -buildvcs=false -o $(CURDIR)/$@ github.com/stripe/stripe-mock

# runs beside the program of now, on one database, in the test of an upgrade; the script knows whether it is made already
.PHONY: $(B)/previous
$(B)/previous: vendor
	@script/previous $@ || echo "the test of an upgrade will be skipped" >&2

.PHONY: fuzz
fuzz: $(B)/fuzz/build.ninja ## run each fuzz target over its corpus for SECONDS=10
	@ninja -C $(B)/fuzz && ninja -C $(B)/fuzz -t cleandead >/dev/null
	@script/fuzz $(B)/fuzz $(SECONDS)

VALGRIND = valgrind --quiet --vgdb=no --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite --error-exitcode=99 \
	--suppressions=$(CURDIR)/tests/valgrind.supp

.PHONY: valgrind
valgrind: $(B)/valgrind/build.ninja $(B)/venv/made-from.txt ## unit tests and a purchase under valgrind: no definite leak of ours
	@ninja -C $(B)/valgrind
	@script/gather $(B)/valgrind $(B)/valgrind
	@meson test -C $(B)/valgrind --no-rebuild --suite unit --print-errorlogs -t 60 --wrap '$(VALGRIND)'
	@BOXOFFICE_BUILD_DIR=$(B)/valgrind BOXOFFICE_WRAP='$(VALGRIND) --trace-children=yes \
		--trace-children-skip=*/postgres,*/initdb,*/pg_ctl,*/psql,*/redis-server,*/redis-check-rdb,*/redis-cli,*/runuser,*/setpriv,*/sh,*/dash' \
		$(B)/venv/bin/python -m pytest -m smoke --timeout 900 $(PYTEST_ARGS)

.PHONY: tidy
tidy: $(B)/clang/build.ninja ## clang's warnings and clang-tidy
	@ninja -C $(B)/clang
	@git ls-files 'src/*.c' | xargs -P "$$(nproc)" -n 4 clang-tidy -p $(B)/clang --quiet

.PHONY: format-check
format-check: ## clang-format has nothing to change
	@git ls-files 'src/*.c' 'src/*.h' | xargs clang-format --dry-run -Werror

.PHONY: shellcheck
shellcheck: ## the scripts
	@git grep -lE '^#!/bin/(ba)?sh' | xargs shellcheck

.PHONY: fresh-check
fresh-check: ## both commands in a bare Debian 12 and 13 (root, debootstrap): SUITES="bookworm trixie" TEST=no
	@script/fresh-check $(if $(filter no,$(TEST)),--no-test) $(SUITES)

.PHONY: help
help: ## this
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name text; do \
		printf '  %-14s %s\n' "$$name" "$$text"; done
