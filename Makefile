# Everything a developer does, and what a cron line calls. `make` alone lists the targets.
# Each target is a thin line over cargo or over the binaries: nothing here that one could not type.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

CARGO ?= cargo
# The cargo profile of `build` and `install`; `fast` builds sooner and runs as fast, the files are larger.
PROFILE ?= release
# Where `install` puts the binaries: PREFIX/bin.
PREFIX ?= $(HOME)/.local
BINARIES := tap-redshift tap-datastore tap-crm tap-tetra-searcheql map-records target-pendo target-bigquery target-analytics \
	target-crm-bulkwrite antiphon antiphon-sandbox

# The pipeline that `discover`, `fullsync` and `sync` run. CONFIG and TARGET_CONFIG may list several
# files; later ones override earlier ones key by key.
EXAMPLE ?= examples/redshift-to-pendo
CONFIG ?= $(EXAMPLE)/tap-redshift.json
CATALOG ?= $(EXAMPLE)/catalog.json
TARGET_CONFIG ?= $(EXAMPLE)/target-pendo.json
STATE ?= $(EXAMPLE)/state.json
# More words for either side: TAP_FLAGS="--jobs 4", TARGET_FLAGS="--dry-run".
TAP_FLAGS ?=
TARGET_FLAGS ?=

# cargo calls the folder of its profile `dev` differently.
BUILT := $(CURDIR)/target/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))
# The binaries of this checkout if they are built, else those that are installed.
WITH_BINARIES := set -euo pipefail; PATH="$(BUILT):$(PREFIX)/bin:$$PATH"; command -v tap-redshift target-pendo > /dev/null || \
	{ echo "tap-redshift and target-pendo are neither built nor installed: run make build" >&2; exit 2; }
# One run at a time for each state file. The lock goes away with the last process that holds it.
ALONE := if command -v flock > /dev/null; then exec 9> "$(STATE).lock"; flock -n 9 || \
	{ echo "another run works on $(STATE): nothing done" >&2; exit 75; }; fi

##@ Build

.PHONY: help
help: ## List the targets (default)
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: build
build: ## Build the binaries (PROFILE=release, fast or dev)
	$(CARGO) build --locked --profile $(PROFILE) $(addprefix --bin ,$(BINARIES))

.PHONY: install
install: build ## Copy the binaries to PREFIX/bin (PREFIX=~/.local)
	install -d "$(DESTDIR)$(PREFIX)/bin"
	install -m 755 $(addprefix $(BUILT)/,$(BINARIES)) "$(DESTDIR)$(PREFIX)/bin"

.PHONY: doc
doc: ## Build the library documentation; warnings are errors
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps

##@ Check

.PHONY: fmt
fmt: ## Format the code
	$(CARGO) fmt --all

.PHONY: fmt-check
fmt-check:
	$(CARGO) fmt --all --check

.PHONY: lint
lint: ## Run clippy; warnings are errors
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

.PHONY: test
test: ## Run every test (PostgreSQL of the machine, or the embedded one; it says which)
	tests/setup
	$(CARGO) test --locked --workspace --no-fail-fast

.PHONY: check
check: fmt-check lint test doc ## All that must pass before a commit: format, lints, tests, documentation

.PHONY: golden
golden: ## Rewrite the golden files from what the binaries do now; read the diff
	UPDATE_GOLDEN=1 $(CARGO) test --locked --workspace
	git --no-pager diff --stat

##@ Look

.PHONY: demo
demo: ## A whole sync on local stand-ins: no account, no database needed (DEMO_KEEP=1 leaves the page up)
	@$(EXAMPLE)/demo.sh

.PHONY: demo-bigquery
demo-bigquery: ## The same into BigQuery: a chat platform, a data set for each tenant (DEMO_METHOD=load)
	@examples/postgres-to-bigquery-tenants/demo.sh

.PHONY: demo-analytics
demo-analytics: ## Tables of a Data Store into Zoho Analytics: all, what changed, what was deleted, events
	@examples/datastore-to-analytics/demo.sh

.PHONY: demo-crm
demo-crm: ## Leads of Zoho CRM read, cleaned by a filter, and written back: all, what changed, what was refused
	@examples/crm-cleanup/demo.sh

.PHONY: demo-tetra
demo-tetra: ## Instruments' results of a Tetra Data Platform into BigQuery: all, what is new, what could not be fetched
	@examples/tetra-to-bigquery/demo.sh

.PHONY: clean-demo
clean-demo: ## Remove what the demos left in target
	rm -rf target/demo target/demo-bigquery target/demo-analytics target/demo-crm target/demo-tetra

.PHONY: bench
bench: ## Measure and compare with the goals (BENCH_ROWS=1000000, BENCH_RUNS=3, BENCH_BIG=1)
	$(CARGO) build --locked --profile fast $(addprefix --bin ,$(BINARIES))
	$(CARGO) bench --locked --profile fast --package suite --bench bench

##@ Run a pipeline (for cron: CONFIG, CATALOG, STATE, TARGET_CONFIG name its files)

.PHONY: discover
discover: ## Write the catalog of the source; an existing one is kept, the new one goes beside it
	@$(WITH_BINARIES); \
	new="$(CATALOG)"; if test -e "$$new"; then new="$(CATALOG).new"; fi; \
	tap-redshift $(CONFIG:%=--config %) $(TAP_FLAGS) --discover > "$$new.part"; mv "$$new.part" "$$new"; echo "$$new"

.PHONY: fullsync
fullsync: ## Sync from the beginning; the old state stays as STATE.1
	@$(WITH_BINARIES); $(ALONE); \
	tap-redshift $(CONFIG:%=--config %) --catalog "$(CATALOG)" $(TAP_FLAGS) | \
	target-pendo $(TARGET_CONFIG:%=--config %) --state-file "$(STATE)" $(TARGET_FLAGS) > /dev/null

.PHONY: sync
sync: ## Sync what is new since STATE
	@$(WITH_BINARIES); $(ALONE); \
	touch "$(STATE)"; \
	tap-redshift $(CONFIG:%=--config %) --catalog "$(CATALOG)" --state "$(STATE)" $(TAP_FLAGS) | \
	target-pendo $(TARGET_CONFIG:%=--config %) --state-file "$(STATE)" $(TARGET_FLAGS) > /dev/null
