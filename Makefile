# `make` alone lists what can be made. Everything here is also what continuous integration runs: see .ci/run.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

GO ?= go

# How long one fuzz target runs in `make fuzz`. In `make check` and .ci/run it is short: there the point is that every
# target builds, that its seeds pass and that nothing falls over at once.
FUZZTIME ?= 30s

# The longest that the tests of one package may take.
TESTTIMEOUT ?= 20m

# Tools are run at a pinned version through the module proxy and stay out of go.mod, so that nobody who imports or
# builds notafter has to download them.
GOFUMPT     := mvdan.cc/gofumpt@v0.12.0
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0
GOLANGCI    := v2.15.0

# Go asks git for the revision when it stamps a binary, and refuses to build when git refuses to answer, as it does in
# a checkout that belongs to somebody else. An unpacked archive has no git at all.
BUILDVCS := $(shell git status --porcelain >/dev/null 2>&1 && echo true || echo false)

# -trimpath and no cgo: the same commit and the same Go make the same bytes on every machine.
BUILDFLAGS := -trimpath -buildvcs=$(BUILDVCS)

PREFIX ?= /usr/local

.PHONY: help
help: ## List what can be made.
	@awk -F ':.*## ' '/^[a-z][a-z0-9-]*:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: test
# One package at a time: several run the whole product against certificates that live for a minute, and on a machine of
# two processors they would starve each other.
test: needs ## Install what the tests need, then run all of them under the race detector.
	@scripts/test.sh -p 1 -timeout $(TESTTIMEOUT) ./...

.PHONY: e2e
e2e: ## Plan, judge and apply with real OpenTofu, which is built first (10 minutes, once).
	@scripts/e2e.sh

# How many lifetimes `make soak` renews for. The longest of its certificates live for 30 seconds.
LIVES ?= 30

.PHONY: soak
soak: ## Renew short-lived certificates for LIVES lifetimes (30: a quarter of an hour), then lose a grant and mend it.
	$(GO) test -count=1 -v -run '^TestSoak$$' -timeout $$(( $(LIVES) + 10 ))m ./internal/app -lives $(LIVES)

.PHONY: needs
needs: ## Install what the tests need (as root, by apt), or say exactly what is missing.
	@scripts/needs.sh

.PHONY: check
check: fmt vet staticcheck vuln lint build cross fuzz-short test ## All that continuous integration checks, and the linters.

.PHONY: fmt
fmt: ## Fail when a file is not formatted as gofmt (and gofumpt, where it can be had) would.
	@scripts/fmt.sh $(GOFUMPT)

.PHONY: format
format: ## Format everything in place, with gofumpt.
	$(GO) run $(GOFUMPT) -w cmd e2e internal scripts

.PHONY: vet
vet: ## Run go vet.
	$(GO) vet ./...

.PHONY: house
house: ## Check imports, docs and pages of reasons: the rules of this house.
	$(GO) test -count=1 ./internal/housetest

.PHONY: reference
reference: ## Write the reference of the configuration from the doc comments of internal/config.
	$(GO) test -count=1 -run TestConfigurationReferenceIsCurrent ./internal/housetest -update

.PHONY: staticcheck
staticcheck: ## Run staticcheck.
	$(GO) run $(STATICCHECK) ./...
	cd e2e && $(GO) run $(STATICCHECK) ./...

.PHONY: vuln
vuln: ## Look for known vulnerabilities, where their database can be reached.
	@scripts/vuln.sh $(GOVULNCHECK)

.PHONY: lint
lint: ## Run golangci-lint, where it is installed.
	@if command -v golangci-lint >/dev/null; then golangci-lint run ./...; \
	else echo "lint: NOT RUN: golangci-lint is not installed (this repository is checked with $(GOLANGCI))"; fi

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME (30s).
	@scripts/fuzz.sh $(FUZZTIME)

.PHONY: fuzz-short
fuzz-short: ## Run every fuzz target for 5 seconds.
	@scripts/fuzz.sh 5s

.PHONY: bench
bench: ## Run every benchmark once, with memory; BENCH=Regexp selects, COUNT=n repeats.
	$(GO) test -run '^$$' -bench '$(or $(BENCH),.)' -benchmem -count $(or $(COUNT),1) -timeout 60m ./...

.PHONY: build
build: ## Build bin/notafter and bin/notafter-lab, reproducibly.
	CGO_ENABLED=0 $(GO) build $(BUILDFLAGS) -o bin/ ./cmd/...

.PHONY: cross
cross: ## Check that the commands build for the other systems and processors.
	@for t in linux/arm64 darwin/arm64 windows/amd64; do \
	  echo "build $$t"; \
	  CGO_ENABLED=0 GOOS=$${t%/*} GOARCH=$${t#*/} $(GO) build -trimpath -buildvcs=false -o /dev/null ./cmd/notafter; \
	done

.PHONY: lab
lab: ## Start the lab: a small Internet on this machine, with the product running on it.
	$(GO) run ./cmd/notafter-lab

.PHONY: install
install: build ## Install bin/notafter under PREFIX (/usr/local).
	install -D -m 0755 bin/notafter $(DESTDIR)$(PREFIX)/bin/notafter

.PHONY: clean
clean: ## Remove what was built.
	rm -rf bin out
