# dbvalet. "make help" lists the targets.

GOLANGCI_LINT_VERSION := v2.15.0
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
COMMITTED := $(shell git log -1 --format=%ct 2>/dev/null || date +%s)
LDFLAGS := -ldflags '-s -w -X main.version=$(VERSION)'
FUZZTIME := 5s
LINT := bin/tools/golangci-lint-$(GOLANGCI_LINT_VERSION)

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 14

.PHONY: demo
demo: build compiler ## start private databases, dbvalet and clients, and show them at work (KEEP=1: leave them running)
	@go build -o bin/demo ./integration/demo
	@bin/demo -program bin/dbvalet $(if $(KEEP),-keep)

.PHONY: test
test: check unit integration fuzz ## all that CI checks

.PHONY: build
build: ## bin/dbvalet, a static binary
	CGO_ENABLED=0 go build -trimpath $(LDFLAGS) -o bin/dbvalet ./cmd/proxy

.PHONY: man
man: ## manual pages, in bin/man
	@mkdir -p bin/man
	SOURCE_DATE_EPOCH=$(COMMITTED) go run $(LDFLAGS) ./cmd/proxy man bin/man

.PHONY: completions
completions: ## what makes shells complete commands and flags, in bin/completions
	@mkdir -p bin/completions
	@go build -o bin/completions/.dbvalet ./cmd/proxy
	for shell in bash zsh fish powershell; do bin/completions/.dbvalet completion $$shell >bin/completions/dbvalet.$$shell || exit 1; done
	@rm bin/completions/.dbvalet

.PHONY: check
check: $(LINT) ## format, vet and lint
	@test -z "$$(gofmt -l .)" || { echo "not formatted; run gofmt -w on:"; gofmt -l .; exit 1; }
	go mod tidy -diff
	go vet ./...
	$(LINT) run ./...
	cd deploy && go mod tidy -diff && go vet ./... && ../$(LINT) run ./...

.PHONY: unit
unit: compiler node ## unit tests with the race detector
	CGO_ENABLED=1 go test -race $$(go list ./... | grep -v '^dbvalet/integration$$')
	cd deploy && go test -count=1 ./... # of files that the cache does not know

.PHONY: integration
integration: compiler node network terminal browser ## the built program between real clients and real servers
	CGO_ENABLED=1 go test -race -count=1 -timeout 30m -parallel 4 ./integration # who mostly wait

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME, two at a time
	@for package in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz'); do echo "$$package $$target"; done; \
	done | xargs -P 2 -L 1 sh -c '$(fuzz)' fuzz

# fuzz is one target's run. It is tried twice more if it fails, for go test at times takes the end of
# FUZZTIME for a failure ("context deadline exceeded"). An input that fails is kept, and fails again. With
# status 255, xargs starts no more.
fuzz = for try in 1 2 3; do \
	out=$$(go test -run "^$$" -fuzz "^$$2$$" -fuzztime $(FUZZTIME) -parallel 1 $$1 2>&1) && echo "fuzz $$2: $$(echo "$$out" | tail -n 1)" && exit; \
	echo "fuzz $$1 $$2: $$out"; done; exit 255

.PHONY: bench
bench: build ## dbvalet beside a direct connection, as ratios
	@go build -o bin/bench ./bench
	@bin/bench -program bin/dbvalet

.PHONY: cover
cover: compiler ## statement coverage of the unit tests
	go test -cover $$(go list ./... | grep -v '^dbvalet/integration$$')

.PHONY: clean
clean: ## remove what was built and fetched
	rm -rf bin .cache

# The race detector, and what checks tokens in the test servers, need a C compiler.
.PHONY: compiler
compiler:
	@$(call need,gcc,gcc libc6-dev)

# The drivers of Node.js that the integration tests use.
.PHONY: node
node:
	@$(call need,npm,nodejs npm)

# The network namespaces of the integration tests.
.PHONY: network
network:
	@$(call need,ip,iproute2)

# The terminal of the tests of what people type.
.PHONY: terminal
terminal:
	@$(call need,tmux,tmux)

# The browser that looks at the status page.
.PHONY: browser
browser:
	@$(call need,chromium,chromium)

# need is a program and the Debian packages that have it, for a machine where it is missing.
define need
command -v $(1) >/dev/null || { \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $(2); \
	else \
		echo "$(1) is missing; install it, on Debian: apt-get install $(2)"; exit 1; \
	fi; }
endef

$(LINT):
	@mkdir -p bin/tools
	GOBIN=$(CURDIR)/bin/tools go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
	@mv bin/tools/golangci-lint $@
