# The verbs of this project. Each says what it does in `make` alone.
# CI calls the same targets (.ci/run, .github/workflows/ci.yml).

SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# Targets measure or time something: two at once would disturb each other.
.NOTPARALLEL:

GO        ?= go
FUZZTIME  ?= 10000x
BENCHTIME ?= 200ms
SIMTIME   ?= 2m
SIMFEWTIME ?= 1m
SIMFEW    := .cache/few-partitions
CHECK_TIMEOUT ?= 300
RUN       ?=
ARGS      ?=
ADMIN     ?= 127.0.0.1:7690

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
COMMIT  := $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
LDFLAGS := -X main.version=$(VERSION) -X main.commit=$(COMMIT)

# Everything but the end-to-end tests, which have targets of their own.
PACKAGES = $$($(GO) list ./... | grep -v '/e2e$$')

# The packages that take longest mostly wait, so twice as many tests run at a
# time as there are processors. vet is a target of its own.
TESTFLAGS = -vet=off -p $$((2 * $$(getconf _NPROCESSORS_ONLN)))

GOLANGCI_VERSION := v2.15.0
GOLANGCI := .cache/bin/golangci-lint-$(GOLANGCI_VERSION)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^## ---- /{printf "\n%s\n", substr($$0, 9)} \
	/^[a-zA-Z0-9_-]+:.*## /{printf "  \033[1m%-18s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

## ---- build and run

.PHONY: run
run: build ## build and serve on the default ports (ARGS="--http 127.0.0.1:8080")
	bin/rookery serve $(ARGS)

.PHONY: dev
dev: ## serve with debug logging, and build and start anew when a Go file changes (ARGS as for run)
	scripts/dev.sh $(ARGS)

.PHONY: cluster
cluster: build ## build and run four nodes on this machine until Ctrl-C (ARGS="--nodes 3 -- --durability async")
	bin/rookery cluster up $(ARGS)

.PHONY: start-cluster
start-cluster: build ## four nodes in the background (PORT_BASE=8600 for a second cluster; ARGS="--nodes 3", --status)
	scripts/start-cluster.sh $(ARGS)

.PHONY: stop-cluster
stop-cluster: ## end them
	scripts/stop-cluster.sh $(ARGS)

.PHONY: observer
observer: build ## live view of the cluster at ADMIN (127.0.0.1:7690); the same as rookery top (ARGS=--once, --json)
	bin/rookery top --admin $(ADMIN) $(ARGS)

.PHONY: build
build: ## write bin/rookery
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/rookery ./cmd/rookery

.PHONY: compile
compile: ## compile every package for Linux and macOS
	GOOS=linux $(GO) build ./...
	GOOS=darwin $(GO) build ./...
	cd bench/baseline && $(GO) build -o /dev/null .

## ---- tests

# Three lanes: unit tests; what waits for the timers of other processes, which
# takes precedence; and what only computes, with the time that nobody else wants.
# What one lane has compiled the others need not. The bytes of a connection are
# counted when no other test opens any.
.PHONY: test
test: ## everything: vet, unit, race, simulation, fuzz, end to end, conformance, density (how long each took is printed)
	@scripts/lanes.sh \
		'nice:5 vet-linux unit race fuzz' \
		'clients after:vet-linux conformance e2e density-connections after:compile-race e2e-race-short after:fuzz density-memory' \
		'idle after:vet-linux compile-race vet-others after:race simulate'

.PHONY: unit
unit: ## unit, property, budget and house tests (RUN=regexp)
	$(GO) test $(TESTFLAGS) -run '$(RUN)' $(PACKAGES)

.PHONY: race
race: ## the same under the race detector, without tests of sheer size (-short)
	$(GO) test -race -short $(TESTFLAGS) -run '$(RUN)' $$($(GO) list ./... | grep -v -e '/e2e$$' -e '/internal/lint$$')

.PHONY: compile-race
compile-race: ## compile what race needs
	$(GO) build -race ./...

# E2E_RACE builds the programs under test with the race detector; what it finds
# in a node fails the test. Fewer clients, because it is several times slower.
.PHONY: e2e-race
e2e-race: ## clusters of real processes, built with the race detector
	E2E_RACE=1 $(GO) test -count=1 -vet=off -run '^TestCluster' ./e2e

.PHONY: e2e-race-short
e2e-race-short: ## of these, nodes that begin, are paused and are killed, and strangers that are refused
	E2E_RACE=1 $(GO) test -count=1 -vet=off -run '^TestCluster(|Begins|Pause|Kill|Refuses)$$' ./e2e

# Seeds that are the same for each commit: what fails is the commit's doing.
.PHONY: simulate-fixed
simulate-fixed: ## simulated clusters under all faults: 120 seeds that hold
	$(GO) test -count=1 -v -vet=off -timeout 0 -run '^TestSimulation$$' ./cluster -simcount 120 -simseed 1

# The seeds follow from the commit, so that each commit tries others and each
# run of one the same.
# With 256 partitions the few sessions of a simulation share them, as 100,000 do.
.PHONY: simulate
simulate: $(SIMFEW).json ## new seeds of simulated clusters for SIMTIME (2m) and, with few partitions, SIMFEWTIME (1m), all faults; one that fails says how to replay it
	$(GO) test -count=1 -v -vet=off -timeout 0 -run '^TestSimulation$$' ./cluster -simcount 0 -simtime $(SIMTIME) -simseed $(COMMIT) -simkeep
	$(GO) test -overlay $(SIMFEW).json -count=1 -v -vet=off -timeout 0 -run '^TestSimulation$$' ./cluster -simcount 0 -simtime $(SIMFEWTIME) -simseed few-$(COMMIT) -simkeep

$(SIMFEW).json: shard/partition.go Makefile
	mkdir -p $(SIMFEW)
	part=$$(mktemp $(SIMFEW)/XXXXXX) && sed 's/partitionBits = 14$$/partitionBits = 8/' $< >"$$part" && \
	  ! cmp -s $< "$$part" && mv "$$part" $(SIMFEW)/partition.go # the same, if the constant is named otherwise now
	echo '{"Replace": {"$<": "$(SIMFEW)/partition.go"}}' >$@ # relative: a copy of this tree overlays its own file

.PHONY: fuzz
fuzz: $(SIMFEW).json ## fuzz each decoder with FUZZTIME inputs (10000x), or for that time (10m)
	GOFLAGS="$${GOFLAGS:-} -overlay=$<" scripts/fuzz.sh $(FUZZTIME) # few partitions: filling in tables of 16,384 would be all that it does

.PHONY: clients
clients: e2e/node_modules/.package-lock.json ## install the TypeScript clients and the MCP Inspector, which e2e needs

.PHONY: e2e
e2e: clients ## the built binary against the official Go and TypeScript clients and the MCP Inspector
	$(GO) test -count=1 -vet=off -run '$(RUN)' -skip '^TestDensity' ./e2e

.PHONY: conformance
conformance: ## the public MCP conformance suites against the example servers (ARGS=--json, ARGS=scenario)
	scripts/conformance.sh $(ARGS)

.PHONY: density
density: density-connections density-memory ## open as many connections as the descriptor limit allows; hold bytes each to bench/budgets.json

.PHONY: density-connections
density-connections: ## of these, as many connections as the descriptor limit allows
	$(GO) test -count=1 -v -vet=off -run '^TestDensity' -skip '^TestDensityMemory$$' ./e2e

.PHONY: density-memory
density-memory: ## of these, the bytes of each
	$(GO) test -count=1 -v -vet=off -run '^TestDensityMemory$$' ./e2e

# Needed by the TypeScript clients and the Inspector; without npm their tests say so.
e2e/node_modules/.package-lock.json: e2e/package-lock.json
	@if command -v npm >/dev/null; then cd e2e && npm ci --no-audit --no-fund --loglevel=error && touch ../$@; \
	else echo 'npm is missing: the TypeScript clients and the Inspector are not installed'; fi

## ---- the 100K suite (docs/suite.md)

# Each run keeps what it found in results/100k; ports are chosen freely, so that
# two may run side by side.
TEST_SCALE   ?= 100k
TEST_TIMEOUT ?= 60m
TEST_VERBOSE ?=
# A soft limit of memory for each process, as GOMEMLIMIT has it (512MiB).
TEST_MEMORY  ?=
SUITE = $(if $(TEST_MEMORY),GOMEMLIMIT=$(TEST_MEMORY)) bin/rookery suite --scale $(TEST_SCALE) --timeout $(TEST_TIMEOUT) \
	$(if $(TEST_VERBOSE),--verbose) $(ARGS) --out results/100k

.PHONY: test-100k
test-100k: build ## the suite of nine groups with 100,000 clients, about 25 min (TEST_SCALE=small|10k|100k|200k, TEST_TIMEOUT, TEST_VERBOSE=1, TEST_MEMORY, ARGS='--chaos --soak 30m')
	$(SUITE)

.PHONY: test-100k-cluster
test-100k-cluster: build ## of the suite: cluster, failure, network, replication
	$(SUITE)/cluster --group 1,5,7,9

.PHONY: test-100k-registry
test-100k-registry: build ## of the suite: registry, queues, pools; and lookups among 100,000 and a million keys
	$(GO) test -run '^$$' -bench '^BenchmarkMillion$$|^BenchmarkLookup$$' -benchmem ./shard
	$(SUITE)/registry --group 6

.PHONY: test-100k-stress
test-100k-stress: build ## of the suite: all clients held, also by one node, and what they cost
	$(SUITE)/stress --group 3,8

.PHONY: test-100k-load
test-100k-load: build ## of the suite: ramps, throughput, latency, order
	$(SUITE)/load --group 2,4

## ---- measure

.PHONY: benchmark
benchmark: benchmark-quick ## the same as benchmark-quick

.PHONY: benchmark-quick
benchmark-quick: build ## throughput, latency, memory, registry, queue, link and fan-out, each for a moment: half a minute
	@$(GO) test -run '^$$' -bench '^Benchmark(Lookup|HandOff|Link)$$' -benchmem -benchtime 50ms ./shard ./internal/ring ./batch; \
	echo "registry, queue, link: $$SECONDS s"; \
	bin/rookery bench-cluster --quick --quiet fanout; \
	echo "fan-out: $$SECONDS s"; \
	bin/rookery suite --scale small --quiet --check performance.throughput,performance.p99,resources.memory-tcp,resources.cpu; \
	echo "benchmark-quick took $$SECONDS s"

.PHONY: benchmark-full
benchmark-full: bench bench-mem bench-cpu bench-cluster bench-compare ## all that is measured: microbenchmarks, memory, processor time, clusters; about an hour

.PHONY: benchmark-100k
benchmark-100k: build ## throughput, latency, memory, registry, queues, links and fan-out with 100,000 clients
	$(SUITE)/benchmark --check performance,resources,components,network.pairs

.PHONY: bench-compare
bench-compare: build baseline ## the same load on what one would use instead (Go SDK, mcp-go, net/http, net, netpoll, NATS): one table with ratios (ARGS=--quick, --json, tcp, mcp, link)
	$(GO) test -c -o bin/peerlink.test ./cluster
	bin/rookery bench-compare $(ARGS)

.PHONY: bench
bench: ## microbenchmarks beside the code, with allocations (BENCHTIME=200ms)
	$(GO) test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) $(PACKAGES)

# The servers to compare with, in a module of their own.
.PHONY: baseline
baseline: ## write bin/baseline
	cd bench/baseline && $(GO) build -trimpath -o ../../bin/baseline .

.PHONY: bench-mem
bench-mem: build baseline ## what a connection costs, by kind and component; picture in results/ (ARGS=--quick, --json)
	mkdir -p results
	bin/rookery bench-mem --svg results/bench-mem.svg $(ARGS)

.PHONY: bench-cpu
bench-cpu: build baseline ## server CPU per message beside the baselines (ARGS=--quick, --json)
	bin/rookery bench-cpu $(ARGS)

.PHONY: bench-cluster
bench-cluster: build ## four nodes: death, failover, fan-out, copies, acknowledgements (ARGS='kill --kills 20', --quick, --json)
	bin/rookery bench-cluster $(ARGS)

## ---- containers: Docker, Podman or Buildah, whichever works; else they say why none does

.PHONY: docker-build
docker-build: ## build the image rookery:VERSION, a static binary and nothing else (IMAGE, PLATFORM=linux/arm64, ENGINE)
	scripts/image.sh build

.PHONY: docker-try
docker-try: ## run the image: version, health, a call, a gentle end
	scripts/image.sh try

.PHONY: docker-up
docker-up: ## four nodes in containers (deploy/compose.yaml)
	scripts/image.sh up

.PHONY: docker-down
docker-down: ## end them
	scripts/image.sh down

.PHONY: docker-push
docker-push: ## push the image (DOCKER_REGISTRY=registry.example.com/team)
	scripts/image.sh push

.PHONY: colima-setup
colima-setup: ## a container engine in a machine of its own, where Colima is installed (CPUS, MEMORY)
	scripts/colima.sh setup

.PHONY: colima-test
colima-test: ## build the image there and run four nodes
	scripts/colima.sh test

.PHONY: colima-clean
colima-clean: ## delete that machine
	scripts/colima.sh clean

.PHONY: swarm-init
swarm-init: ## write a stack of four nodes for a Docker swarm under swarm/ (NODES, IMAGE)
	scripts/swarm.sh init

.PHONY: swarm-deploy
swarm-deploy: ## hand it to the swarm
	scripts/swarm.sh deploy

.PHONY: swarm-monitor
swarm-monitor: build ## live view of the stack, or where none runs of the cluster at ADMIN (ARGS as for observer)
	ADMIN=$(ADMIN) scripts/swarm.sh monitor $(ARGS)

## ---- release

.PHONY: release-prod
release-prod: ## static binaries for Linux on amd64 and arm64, checksums and bills of materials in dist/, built twice and compared
	scripts/release.sh --prove $(ARGS)

## ---- care

.PHONY: check
check: fmt-check vet lint shellcheck validate ## what must hold before a commit, without the long tests
	$(GO) test ./internal/lint

# The first time the linter is built, which alone takes minutes.
.PHONY: workspace-check
workspace-check: $(GOLANGCI) ## check, build and short tests in less than 5 minutes, or it stops (CHECK_TIMEOUT=300 seconds)
	@scripts/within.sh $(CHECK_TIMEOUT) $(MAKE) --no-print-directory check build short

.PHONY: short
short: ## unit tests without those of sheer size (RUN=regexp)
	$(GO) test -short -run '$(RUN)' $(PACKAGES)

.PHONY: fmt
fmt: ## format all Go files
	gofmt -s -w $$(git ls-files --cached --others --exclude-standard '*.go')

.PHONY: fmt-check
fmt-check: ## name files that are not formatted
	@out=$$(gofmt -s -l $$(git ls-files --cached --others --exclude-standard '*.go')); \
	if [ -n "$$out" ]; then echo "not formatted (make fmt):"; echo "$$out"; exit 1; fi

.PHONY: vet
vet: vet-linux vet-others ## go vet for Linux and macOS, the nested module included

.PHONY: vet-linux
vet-linux: ## of these, the module for Linux
	GOOS=linux $(GO) vet ./...

.PHONY: vet-others
vet-others: ## of these, the module for macOS, and the nested one
	GOOS=darwin CGO_ENABLED=0 $(GO) vet ./...
	cd bench/baseline && $(GO) vet ./...

.PHONY: lint
lint: $(GOLANGCI) ## golangci-lint with the few linters of .golangci.yml
	$(GOLANGCI) run ./...

# Built with our own Go, so that it reads our language version.
$(GOLANGCI):
	GOBIN=$(CURDIR)/.cache/bin $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	mv .cache/bin/golangci-lint $@

.PHONY: shellcheck
shellcheck: ## shellcheck for all scripts
	@command -v shellcheck >/dev/null || { echo 'shellcheck is missing: apt-get install shellcheck, brew install shellcheck' >&2; exit 1; }
	shellcheck -x .ci/run $$(git ls-files --cached --others --exclude-standard '*.sh')

.PHONY: validate
validate: ## each target that is documented exists (scripts/validate-makefile.sh --run tries them)
	scripts/validate-makefile.sh $(ARGS)

.PHONY: clean
clean: ## remove what was built and measured
	rm -rf bin results dist

.PHONY: clean-100k-data
clean-100k-data: ## remove what runs of the 100K suite left: results/100k
	rm -rf results/100k

.PHONY: distclean
distclean: clean ## clean, end clusters of start-cluster, and remove installed tools and node modules
	@for state in .cache/cluster/*/; do [ ! -d "$$state" ] || STATE_DIR=$${state%/} scripts/stop-cluster.sh; done
	rm -rf .cache e2e/node_modules

.PHONY: clean-all
clean-all: distclean ## distclean, and forget test results and fuzz inputs that Go has cached
	$(GO) clean -testcache -fuzzcache
