# make build | man | run | test | bench | chaos | redteam | check | fuzz | fuzz-long
GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
FUZZ    ?= 30s
CHAOS   ?= full
UNRACED := /lethe/test(/|$$)|/s3api/sigv4$$
# Instrumenting SQLite, translated from C, tells nothing and takes most of the time.
RACE    := -race -gcflags=github.com/ncruces/go-sqlite3-wasm/...=-race=false
LONGEST := ./gateway ./gateway/catalog ./gateway/s3api ./cmd/lethe
DATA    := demo-data
PORT    := 9000

.PHONY: build man run test bench chaos redteam check fuzz fuzz-long packages servers

build:
	$(GO) build -trimpath -ldflags '-X main.version=$(VERSION)' -o bin/lethe ./cmd/lethe

# A manual page for each command, as man -l bin/man/lethe.1 shows it.
man: build
	@rm -rf bin/man
	@bin/lethe man bin/man

# The main job on the embedded default: a demo tenant, its recorder and reader,
# the sample calls stored in DATA; on PORT and the two after it, until Ctrl-C.
run: build
	@./test/demo/run.sh bin/lethe '$(DATA)' '$(PORT)'

# Everything, on a fresh machine: installs the Debian packages the tests use,
# builds the real servers once into the user's cache, and runs all tests. Results
# are never taken from go's cache: it does not see the programs that tests build.
# The race detector, which makes tests three to five times as slow, stays out of
# those in which no code of ours runs at once: the tests of whole programs, which
# run them as their own processes, and the signatures. All mostly wait, for servers
# or for what is to happen by itself, so more of them run at once than there are
# processors. In either the longest begin first.
test: packages servers
	$(GO) test $(RACE) -count=1 -timeout 30m -p 4 -parallel 4 $$($(GO) list $(LONGEST) ./... | grep -vE '$(UNRACED)')
	$(GO) test -count=1 -timeout 30m -p 3 -parallel 8 $$($(GO) list ./... | grep -E '$(UNRACED)' | sort -r)

# Faults in large numbers, on real servers: kills at any instant, a fault at every
# durable step, poor connections to every part, disks that fail or are full, a
# database that restarts, erasures while everything is killed; and in all of that,
# nothing told of names, numbers and secrets. It takes about an hour on two
# processors; CHAOS=nightly is ten times as much. "make test" runs a few of each.
chaos: packages servers
	LETHE_CHAOS=$(CHAOS) $(GO) test -count=1 -timeout 0 -v ./test/faults \
		-run 'KilledAtAnyInstant|Failpoint|Toxics|EveryWriteFails|DiskFull|ManyUploads|DatabaseRestarts|ErasuresUnderFaults|Canaries'

# A thief with a copy of everything that was ever stored, dumped, archived or logged,
# against each kind of vault: test/redteam. It takes some six minutes. "make test" has
# two of them, and does not wait for indexes to be made anew.
redteam: packages servers
	LETHE_REDTEAM=full $(GO) test -count=1 -timeout 30m -parallel 4 -v ./test/redteam

packages:
	./test/tools/packages.sh

servers:
	$(GO) run ./test/servers/build

# What Lethe costs beside the store alone: docs/performance.md. BENCH=short takes
# a minute or two; BENCH='-cases put -rounds 3 -duration 1s -seed 7' picks.
BENCH   ?=
bench: packages servers
	@mkdir -p bin
	$(GO) test -run '^$$' -bench '^BenchmarkLethe$$' -benchtime 1x -timeout 60m ./test/bench \
		-args -results '$(CURDIR)/bin/bench.json' $(if $(filter short,$(BENCH)),-cases short -rounds 3 -duration 700ms,$(BENCH))
	$(GO) test -run '^$$' -bench '^BenchmarkEpochs$$' -benchtime 1x -timeout 60m ./test/bench \
		-args -rounds 3 -results '$(CURDIR)/bin/bench-epochs.json' $(if $(filter short,$(BENCH)),-slots 10000,1000000 -rows 100000,$(EPOCHS))

# Style, known mistakes, known vulnerabilities, and the crypto under FIPS 140.
check: servers
	./test/tools/check/check.sh

# Every fuzz target for FUZZ, such as 30s or 1000x.
fuzz:
	./test/tools/fuzz.sh '$(FUZZ)'

# An hour for each fuzz target, and a million signed requests and as many spoilt
# ones for each signer. It takes a day on two processors.
fuzz-long:
	./test/tools/fuzz.sh 1h
	$(GO) test -count=1 -timeout 0 ./gateway/s3api/sigv4 -rapid.checks=1000000
