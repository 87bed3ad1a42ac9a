# A newcomer needs two commands: `make run` and `make test`. Both prepare everything that they need.
.PHONY: setup run test test-system bench fuzz oracle lint package try-package shots docs shape coverage audit-privacy
PY := .venv/bin/python
export PYTHONUNBUFFERED := 1
# Tests work in a folder with a short name, because the path of a socket has at most 107 bytes.
SHORT_FOLDER := d=$$(mktemp -d) && trap 'rm -rf "$$d"' EXIT &&

setup:
	@sh packaging/setup.sh

run: setup
	@sh packaging/run.sh

lint: setup
	@.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy && .venv/bin/lint-imports --no-cache

test: lint
	@$(SHORT_FOLDER) $(PY) -m pytest --basetemp=$$d/t -n 2 -m "not system" $(T)

# These tests mostly wait: four processes keep two cores busy.
test-system:
	@sh packaging/setup.sh system
	@$(SHORT_FOLDER) $(PY) -m pytest --basetemp=$$d/t -n 4 --dist loadfile -m system -p no:cacheprovider $(T)

bench: setup
	@$(PY) -m tests.bench --missing $(if $(K),-k $(K)) || sh packaging/setup.sh system || echo "Measuring without them." >&2
	@$(PY) -m tests.bench $(if $(K),-k $(K)) $(if $(RECORD),--record)

# Feeds a million inputs (N) to the parsers of strangers' bytes (P: to one of them, such as headers),
# and keeps what breaks one.
N := 1000000
fuzz: setup
	@$(PY) -m tests.fuzz --inputs $(N) $(if $(P),--parser $(P))

# Compares the rows of a thousand executables of wheels for Windows with what pefile reads.
oracle: setup
	@$(PY) -m tests.oracle

package: setup
	@rm -rf dist && $(PY) packaging/build.py

# Installs the package in a clean Debian root, uses it and purges it. Needs root and debootstrap.
try-package: package
	@packaging/linux/try-package.sh dist/*.deb

shots: setup
	@$(PY) -m tests.ui.shots build/shots

# Attacks simulated fleets with the rows of DATA, and writes the tables of docs/ROBUSTNESS.md. Takes an hour.
.PHONY: robustness
robustness: setup
	@$(PY) -m tests.robustness --data $(DATA) $(if $(GRID),--grid $(GRID)) $(if $(SEEDS),--seeds $(SEEDS))

# Generates the pages that come from the source code.
docs: setup
	@$(PY) packaging/errors_page.py

# Prints the figures of the code's shape, then and now. Fails if a figure misses its goal.
shape: setup
	@$(PY) -m tests.shape

# Prints the coverage of the pure packages by their own tests. Fails below 90 % (lines and branches).
PURE := $(foreach package,agent/protocol agent/privacy agent/secagg agent/detector server_stub/secagg server_stub/quarantine server_stub/aggregation server_stub/validation server_stub/rounds,tests/$(package))
coverage: setup
	@$(PY) -m pytest -q -n 2 -m "not system" --hypothesis-profile=few --cov --cov-report=term --cov-report=json $(PURE)
	@$(PY) -m tests.shape.coverage

# Attacks the noise through the code of the device, and writes the table of docs/PRIVACY.md.
audit-privacy: setup
	@$(PY) -m tests.audit $(if $(RUNS),--runs $(RUNS)) $(if $(SEED),--seed $(SEED)) $(if $(HALF),--half-noise)
