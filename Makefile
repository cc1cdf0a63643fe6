# Two commands for a fresh machine: `make run` and `make test`. Both do all set-up; `make help` lists the rest.

SHELL      := /bin/bash
GO         := go
BIN        := bin/ocelli
# nodynamic keeps the AVIF package from looking for a library of the system, which is never used.
export GOFLAGS := $(GOFLAGS) -tags=nodynamic
VERSION    := $(shell git describe --tags --always --dirty 2>/dev/null)
LDFLAGS     = -X github.com/ocelli/ocelli.version=$(VERSION)
# Tests run outside of the repository's root and are told where the library and the servers to test against are.
TESTENV     = OCELLI_TEST_TOOLS=$(CURDIR)/.deps/test OCELLI_ONNXRUNTIME=$${OCELLI_ONNXRUNTIME:-$(CURDIR)/.deps/onnxruntime/libonnxruntime.so.1}
GOTEST      = $(TESTENV) $(GO) test
# What is tested against servers that speak the protocols of AWS.
AWSPACKAGES = ./internal/awsconn/... ./internal/awstest/... ./internal/blob/s3blob/... ./internal/queue/sqsqueue/... ./internal/notify/sqsnotify/... ./internal/scale/sqslead/... ./internal/ingest/... ./internal/fleet/ec2fleet/...
LISTEN     ?= 127.0.0.1:8080
DATA       ?= ocelli-data
FUZZTIME   ?= 20s
DURATION   ?= 60s
SEED       ?= $(shell date +%s)
PACKAGES   ?= ./...

.DEFAULT_GOAL := help
.PHONY: help setup testtools build run test test-aws check race fuzz chaos crowd soak sbom vuln reproducible e2e bench screenshots dist clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what the build needs and is missing
	@scripts/setup.sh

testtools: ## install what the tests need and is missing
	@scripts/testtools.sh

build: setup ## build bin/ocelli
	@$(GO) build -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/ocelli

run: build ## build, start everything on this machine and print the address (LISTEN, DATA)
	@$(BIN) up --listen $(LISTEN) --data $(DATA)

test: build check testtools ## all tests: units, driver suites, stories against the real binary
	$(GOTEST) -shuffle=on -timeout=30m -parallel=4 $(PACKAGES)

test-aws: setup testtools ## only what is about AWS: suites of the drivers, stories, the template; on stand-ins of this machine
	$(GOTEST) -count=1 $(AWSPACKAGES)
	$(GOTEST) -count=1 -run 'TestStories/(cloud|elastic|machines)' ./e2e/
	$(GOTEST) -count=1 -run 'Template|Nginx' ./e2e/

check: setup ## formatting, vet, staticcheck
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$unformatted" ] || { echo "run gofmt -w on:"; echo "$$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

race: setup testtools ## the tests under the race detector
	$(GOTEST) -race -shuffle=on $(PACKAGES)

fuzz: setup ## fuzz every target for FUZZTIME
	@FUZZTIME=$(FUZZTIME) scripts/fuzz.sh

chaos: build testtools ## break things under load and check that nothing is lost (DURATION, SEED)
	@$(TESTENV) $(GO) run ./e2e/chaos -duration=$(DURATION) -seed=$(SEED)

crowd: build ## 10,000 idle connections, 1,000 slow uploads and 100 good clients at once
	@$(TESTENV) $(GO) run ./e2e/siege crowd

soak: build ## twice the capacity for DURATION; draws bin/soak.svg
	@$(TESTENV) $(GO) run ./e2e/siege soak -duration=$(DURATION) -plot=bin/soak.svg

screenshots: setup testtools ## make the pictures of the documentation anew
	$(GOTEST) -count=1 -run=Browser ./internal/web -pictures $(CURDIR)/docs/images

e2e: build testtools ## only the stories against the real binary
	$(GOTEST) -count=1 ./e2e/

bench: build ## measure against the limit and the reference (see bench/main.go) and write bench/RESULTS.md
	@OCELLI_ONNXRUNTIME=$${OCELLI_ONNXRUNTIME:-$(CURDIR)/.deps/onnxruntime/libonnxruntime.so.1} $(GO) run ./bench $(BENCH)

dist: setup ## pack one file that runs on any Linux with glibc
	@VERSION=$(VERSION) scripts/dist.sh

sbom: build ## what the binary is made of, in CycloneDX: dist/ocelli.cdx.json
	@VERSION=$(VERSION) scripts/sbom.sh

vuln: ## known vulnerabilities of what is linked in (needs the network)
	@scripts/vuln.sh

reproducible: setup ## build twice in two folders and compare
	@scripts/reproducible.sh

clean: ## remove what was built (not the data, not .deps)
	rm -rf bin dist
