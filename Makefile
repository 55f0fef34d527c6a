# make lab   the lab in a browser      make demo   the journey in this terminal
# make test  the tests                  make check  the gate before a commit
# make wheel dist/labkit-*.whl, to install without a clone
# Each sets up .venv first; a second run takes seconds.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: lab demo test test-bare test-fast test-long check format notebooks docs pictures bench wheel lock install clean

lab: install
	@"$(BIN)/labkit" lab

demo: install
	@"$(BIN)/labkit" demo

test: install
	@"$(BIN)/python" -m pytest -m "not long and not alone" -n 3 --dist worksteal

test-bare: install
	@LABKIT_ISOLATION=none "$(BIN)/python" -m pytest -m "(guests or alone) and not long" -n 3 --dist worksteal

test-fast: install
	@"$(BIN)/python" -m pytest -m "not slow and not long" -n 3 --dist worksteal --every 20

test-long: install
	@"$(BIN)/python" -m pytest -m long --timeout 7200

check: install
	@"$(BIN)/ruff" format --check labkit tests
	@"$(BIN)/ruff" check labkit tests
	@"$(BIN)/mypy" labkit
	@"$(BIN)/lint-imports"
	@"$(BIN)/python" -m pytest -m "not slow and not long"

format: install
	@"$(BIN)/ruff" format labkit tests
	@"$(BIN)/ruff" check --fix labkit tests

notebooks: install
	@"$(BIN)/python" -m tests.notebooks.execute

docs: install
	@"$(BIN)/python" -m tests.packaging.coverage_table
	@"$(BIN)/python" -m tests.packaging.lessons_table
	@"$(BIN)/python" -m tests.provision.permissions_page
	@"$(BIN)/python" -m tests.exercises.teaching_page

pictures: install
	@"$(BIN)/python" -m tests.browser.pictures

bench: install
	@"$(BIN)/python" -m pytest tests/benchmarks/bench_*.py -s

wheel: install
	@"$(BIN)/python" -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

lock: install
	@"$(BIN)/python" scripts/lock

install: .venv/installed

.venv/installed: pyproject.toml requirements.lock scripts/install sample_app/package-lock.json
	@PYTHON="$(PYTHON)" sh scripts/install

clean:
	rm -rf .venv
