# Lares: `make` lists the targets. Sizes: make fuzz T=10m, make faults N=100000.
.DEFAULT_GOAL := help
SHELL := /bin/bash

# A machine without a usable HOME (a bare container) still has a place for caches.
export HOME := $(shell scripts/home)
# What is shipped has no C in it. Tests that need gcc say so themselves.
GO_BUILD := CGO_ENABLED=0 go build -trimpath -buildvcs=auto
LINT := go tool -modfile=tools/go.mod golangci-lint
VULN := go tool -modfile=tools/go.mod govulncheck

T ?= 30s
N ?= 1000

# What is built and tested once more with the tag pkcs11, which needs C.
PKCS11 := ./security/keystore/pkcs11 ./security/trem/module ./internal/cli
# What is shipped without C, for each of these; -trimpath, as it is shipped, shares what
# is compiled with `make build` and the release.
PLATFORMS := linux/amd64 linux/arm64 linux/arm android/arm64

# What serves several at once runs under the race detector, the others without it. Some
# run whole without it, and in part or once more under it. What takes longest comes first,
# here and below, so that nothing runs alone at the end. What vet has looked at before them
# with all it knows is not looked at again (-vet=off).
RACE := ./internal/httpd/... ./service/authority/... ./service/home/... ./interconnect/lrp/... ./internal/store/...
TWICE := ./security/trem/module/... ./service/issuer/... ./interconnect/upnp/...

.PHONY: help setup build build-pkcs11 release release-check cross demo demo-check test check format vet lint floors coverage fuzz faults interop distributed models bench pictures vuln clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## install what the tests and the developer tools need, and say what
	@scripts/setup

build: ## bin/lares and bin/lares-trem, without C, and the page "Try to lose a film" (bin/play)
	@scripts/setup --go-only
	$(GO_BUILD) -o bin/ ./cmd/lares ./cmd/lares-trem
	GOOS=js GOARCH=wasm $(GO_BUILD) -ldflags='-s -w' -o bin/play/play.wasm ./cmd/lares-play
	@cp "$$(go env GOROOT)/lib/wasm/wasm_exec.js" bin/play/

build-pkcs11: ## the two programs with C, for PKCS#11 tokens
	@scripts/setup --go-only
	CGO_ENABLED=1 go build -trimpath -buildvcs=auto -tags pkcs11 -o bin/ ./cmd/lares ./cmd/lares-trem

release: ## dist/: tarballs and Debian packages for linux amd64, arm64 and armv7, bills of materials, SHA256SUMS
	@scripts/setup --go-only
	CGO_ENABLED=0 go run -trimpath ./internal/release --out dist

release-check: ## prove a release: same bytes from two clones, arm under qemu, the package in a clean Debian (as root; 10 minutes)
	@RELEASE=1 scripts/setup
	@scripts/release-check

cross: ## every program without C for every platform, into nowhere (a minute when nothing is cached)
	@for p in $(PLATFORMS); do \
		echo "go build $$p"; CGO_ENABLED=0 GOOS=$${p%/*} GOARCH=$${p#*/} go build -trimpath -o /dev/null ./cmd/... || exit 1; done

demo: build ## a whole house on this machine: prints one URL, Ctrl-C ends it (needs Go only)
	@exec bin/lares demo

demo-check: build ## the story of the demo, unattended, with what each step proved
	bin/lares demo --check

test: setup build cross format vet lint models ## every test; lists what could not run (25 minutes at most on two cores)
	@go run ./internal/testsum \
		-- -timeout=20m -vet=off -skip-dirs "$(RACE)" ./internal/cli $(TWICE) ./... \
		-- -timeout=20m -vet=off -race $(TWICE) $(RACE) \
		-- -timeout=20m -vet=off -tags pkcs11 -run 'PKCS11' $(PKCS11)

check: format vet lint floors ## before every commit, under 60 s: format, vet, lint, floors, short tests
	@go run ./internal/testsum -- -short -vet=off ./...

format:
	@bad=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go' | xargs -r ls -d 2>/dev/null)); \
		if [ -n "$$bad" ]; then echo "gofmt: these files are not formatted:"; echo "$$bad"; exit 1; fi

vet:
	go vet ./...
	go vet -tags pkcs11 $(PKCS11)

lint:
	$(LINT) run --timeout=10m ./...
	$(LINT) run --timeout=10m --build-tags pkcs11 ./security/keystore/pkcs11

floors: ## who may import whom, and the other promises about the tree
	go test .

coverage: ## branches of the evaluator and the state machine that no written test takes; fails below 100 %
	@scripts/coverage

fuzz: ## every fuzz target for T each (T=30s)
	@scripts/fuzz "$(T)"

faults: ## crashes and lost messages, N of them (N=1000); SEED=1 shows one run of the simulation, with MUTANT=name a broken one
ifdef SEED
	@go run ./internal/faults -seed "$(SEED)" $(if $(MUTANT),-mutant "$(MUTANT)")
else
	LARES_FAULTS=$(N) go test -count=1 -timeout=0 -run 'Fault|Crash|Kill' ./security/... ./service/... ./internal/store/... ./internal/cli/...
	@go run ./internal/faults -n "$(N)"
endif

interop: ## other people's implementations and files: ffmpeg, shaka-packager, EDHOC and COSE vectors, CPIX, SPEKE, ODRL and LCP documents, browsers; prints the matrix of protected content
	@scripts/interop-adapt
	@matrix=$$(mktemp); trap 'cat $$matrix; rm -f $$matrix' EXIT; LARES_INTEROP=$$matrix go run ./internal/testsum -- -count=1 -timeout=20m -run 'FFmpeg|Interop|Vector|RFC|Oracle|Browser' ./...

distributed: ## the store's conformance suite on the Citus that LARES_CITUS_DSN names
	go run ./internal/testsum -- -tags distributed -count=1 -timeout=20m -run 'TestDistributed|TestCitus' ./internal/store

models: ## check the models of the protocols with spin
	@docs/model/run.sh

bench: ## Go benchmarks of every package
	go test -run '^$$' -bench . -benchmem ./...

pictures: ## the console's pictures in docs/img, from the browser's test
	@scripts/pictures

vuln: ## known vulnerabilities in what we import (asks vuln.go.dev)
	@scripts/vuln $(VULN)

clean: ## remove what the targets built
	rm -rf bin dist node_modules
