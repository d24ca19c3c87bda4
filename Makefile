# What a person types here; `make help` lists it. Each target does all of its own set-up.
#
# One profile for everything (--release), so that RocksDB and DataFusion are built once for demo, tests and benchmarks.
# CARGO_TARGET_DIR is respected; without it cargo builds into ./target.

SHELL := /bin/sh
.DEFAULT_GOAL := help

# A shell that never read rustup's profile still finds cargo.
export PATH := $(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin

TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
CUTOVER := $(TARGET_DIR)/release/cutover

.PHONY: help
help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-20s %s\n", $$1, $$2 }'

.PHONY: dist
dist: ## the release for this processor, in dist/: archive, wheel, checksums, list of parts (ARGS="--system": quicker)
	@scripts/setup.sh --bench
	scripts/dist.sh $(ARGS)

.PHONY: try-dist
try-dist: ## install the wheel of dist/ where there is only Python, and run its demo (needs root, debootstrap; ARGS="--arch aarch64")
	scripts/try-dist.sh $(ARGS)

.PHONY: demo
demo: build ## sample data, the main job, reads, a flip and a rollback
	$(CUTOVER) demo --dir data/demo

.PHONY: test
test: lint ## format, lints and every test, of the Python package too; Kafka tests only where Java, Docker or a broker is available
	@scripts/setup.sh --bench
	@if command -v java >/dev/null && command -v mvn >/dev/null; then scripts/kafka.sh fetch || true; fi
	cargo test --release --locked
	scripts/python.sh test

.PHONY: soak
soak: ## the long tests, two hours: a million simulated histories, an hour of chaos, power cuts and damage, flips under load
	@scripts/setup.sh
	CUTOVER_SIM_RUNS=1000000 cargo test --release --locked --lib simulation
	CUTOVER_CHAOS_SECONDS=3600 cargo test --release --locked --test it chaos
	CUTOVER_SEEDS=20 cargo test --release --locked --test it -- power hostile mutated
	CUTOVER_FLIP_SECONDS=600 cargo test --release --locked --test serve flips

.PHONY: soak-cluster
soak-cluster: ## builds on several machines, an hour: kills at every step, TPC-H and TPC-DS at scale 1, and with kills at 0.1
	@scripts/setup.sh --bench --objects
	cargo build --release --locked --bin cutover
	CUTOVER_SEEDS=5 cargo test --release --locked --test cluster
	cargo test --release --locked --lib cluster::scale -- --ignored --nocapture
	PYTHONPATH=tests python3 -m answers tpc --target-dir "$(TARGET_DIR)" --cluster --scale 1 --share-bytes 32MiB --timeout 1800
	PYTHONPATH=tests python3 -m answers tpc --target-dir "$(TARGET_DIR)" --cluster --kills 1
	PYTHONPATH=tests python3 -m answers tpc --target-dir "$(TARGET_DIR)" --cluster --unlimited

.PHONY: tpc
tpc: ## TPC-H's and TPC-DS's queries, answers compared with DuckDB's (ARGS="--suite ds --scale 1 --memory 128MiB --only 4,14")
	@scripts/setup.sh --bench
	cargo build --release --locked --bin cutover
	PYTHONPATH=tests python3 -m answers tpc --target-dir "$(TARGET_DIR)" $(ARGS)

.PHONY: differential
differential: ## random SQL over random tables, compared with DuckDB (ARGS="--seed 7 --jobs 1" replays a job)
	@scripts/setup.sh --bench
	cargo build --release --locked --bench answers
	PYTHONPATH=tests python3 -m answers differential $(ARGS)

.PHONY: memory
memory: ## the most that runs hold, for data that is hard on memory, as a table (ARGS="--memory 128MiB --threads 2")
	@scripts/setup.sh --bench
	cargo build --release --locked --bin cutover
	PYTHONPATH=tests python3 -m answers memory --target-dir "$(TARGET_DIR)" $(ARGS)

.PHONY: answers
answers: ## the part of both that every change is held to: scale 0.1 at 128 MiB, and 300 random jobs
	@scripts/setup.sh --bench
	cargo build --release --locked --bin cutover --bench answers
	PYTHONPATH=tests python3 -m answers judged
	PYTHONPATH=tests python3 -m answers tpc --target-dir "$(TARGET_DIR)" --memory 128MiB --threads 2 --parallel 2
	PYTHONPATH=tests python3 -m answers differential --seed 1000 --jobs 300

.PHONY: lint
lint: ## format and lints only
	@scripts/setup.sh --lints
	cargo fmt --check --all
	cargo fmt --check --manifest-path tests/container/Cargo.toml
	cargo fmt --check --manifest-path fuzz/Cargo.toml
	cargo fmt --check --manifest-path tests/serve/clients/rust/Cargo.toml
	cargo clippy --release --locked --all-targets -- -D warnings
	cargo clippy --release --locked --package cutover-python -- -D warnings
	cargo check --release --locked --lib --no-default-features
	RUSTDOCFLAGS="-D warnings" cargo doc --release --locked --no-deps --lib

.PHONY: build
build: ## the command, at target/release/cutover
	@scripts/setup.sh
	cargo build --release --locked

.PHONY: bench
bench: ## every job that has an aim, compared with DuckDB (ARGS="--events 1000000 --only enriched_lz4" for less)
	@scripts/setup.sh --bench
	cargo build --release --locked --bin cutover --bench digest --bench tables
	PYTHONPATH=benches python3 -m compare --target-dir "$(TARGET_DIR)" $(ARGS)

.PHONY: bench-kafka
bench-kafka: ## publishing to Kafka, compared with Kafka's own producer test
	@scripts/setup.sh --bench --kafka
	cargo build --release --locked --bin cutover
	python3 benches/kafka.py --target-dir "$(TARGET_DIR)" $(ARGS)

.PHONY: bench-serve
bench-serve: ## reads over the network, compared with redis-server, axum and RocksDB (ARGS="--keys 200000 --pairs 3 --only swaps")
	@scripts/setup.sh --serve
	cargo build --release --locked --bin cutover --bench serving
	python3 benches/serve.py --target-dir "$(TARGET_DIR)" $(ARGS)

.PHONY: bench-objects
bench-objects: ## inputs and stores on an object store, compared with DuckDB and rclone (ARGS="--events 1000000 --profiles 25000")
	@scripts/setup.sh --bench --objects
	@command -v rclone >/dev/null || { echo "this needs rclone (https://rclone.org, or your system's package)" >&2; exit 1; }
	cargo build --release --locked --bin cutover
	python3 benches/objects.py --target-dir "$(TARGET_DIR)" $(ARGS)

.PHONY: bench-cluster
bench-cluster: ## runs on two executors compared with runs on one machine, inputs and store on one object store (ARGS="--events 1000000 --pairs 1")
	@scripts/setup.sh --objects
	cargo build --release --locked --bin cutover
	PYTHONPATH=tests python3 benches/cluster.py --target-dir "$(TARGET_DIR)" $(ARGS)

.PHONY: bench-stages
bench-stages: ## each stage of the job alone
	@scripts/setup.sh
	cargo bench --locked --profile release --bench stages -- $(ARGS)

.PHONY: bench-flips
bench-flips: ## p99 of reads while versions are swapped under them (ARGS="STORE", of two versions or more)
	@scripts/setup.sh
	cargo bench --locked --profile release --bench flips -- $(ARGS)

.PHONY: clean-demo
clean-demo: ## remove what the demo made
	rm -rf data/demo
