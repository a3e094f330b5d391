# The environment is made by uv from the hashed lock; where uv has no wheel, pip does it more slowly.
PYTHON ?= python3
BIN := .venv/bin
LOCK := requirements/lock.txt
INSTALLED := .venv/.installed

.PHONY: venv demo test test-fast test-slow test-far test-duckdb bench bench-short crash fuzz lab lint types audit dictionary lock clean

venv: $(INSTALLED)

$(INSTALLED): $(LOCK) pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "workbench needs Python 3.11 or newer; set PYTHON=")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv || true
	if [ -x $(BIN)/uv ]; \
	then $(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes $(LOCK) && $(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .; \
	else $(BIN)/python -m pip install --quiet --require-hashes -r $(LOCK) && $(BIN)/python -m pip install --quiet --no-deps --editable .; fi
	touch $@

demo: venv
	$(BIN)/workbench demo

lab: venv
	$(BIN)/jupyter lab notebooks

# Two files at a time; what kills, races or is drawn in a browser has the machine to itself. What fails has one more go, alone: a fault fails again, and what
# passes then is named in the output all the same.
ONCE_MORE = || { [ $$? -eq 1 ] && echo "== what failed, once more and alone" && $(BIN)/python -m pytest -v --last-failed --last-failed-no-failures none
FAST := -m "not slow and not browser and not long"
ALONE := tests/crash tests/browser tests/panels
SLOW := -m "slow and not browser and not long" $(addprefix --ignore=,$(ALONE)) --durations=10
LAST := -m "(slow or browser) and not long" --durations=10

test: venv lint types test-fast test-slow

test-fast: venv
	$(BIN)/python -m pytest -q -n 2 --dist loadfile $(FAST) $(ONCE_MORE) $(FAST); }

test-slow: venv
	$(BIN)/python -m pytest -q -n 2 --dist loadfile $(SLOW) $(ONCE_MORE) $(SLOW); }
	$(BIN)/python -m pytest -q $(LAST) $(ALONE) $(ONCE_MORE) $(LAST) $(ALONE); }

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: venv
	$(BIN)/mypy

# The second leg: the same code on DuckDB 1.5.5, the newest version whose extensions are on PyPI. It has the tests of what another version may answer
# otherwise: parsed and narrowed queries, views and macros, sessions, rows on their way in. The rest hardly asks DuckDB, or in the same words.
DUCKDB_15 := .venv-duckdb-1.5.5
HARDLY := quality writer getting tagging gaps prices resample records_attack
ASK := $(filter-out $(HARDLY:%=tests/query/test_%.py),$(sort $(wildcard tests/query/test_*.py))) tests/lake/test_verify.py \
	$(wildcard tests/importers/test_taking.py tests/importers/test_arriving.py) tests/test_old_queries.py tests/test_documents.py tests/test_right_prices.py \
	tests/test_security_sql.py tests/test_security_growing.py tests/backup/test_drill.py
# What this version alone shows: a lake in a bucket, read through httpfs.
HTTPFS := tests/query/test_far_reading.py tests/far/test_verbs_far.py tests/far/test_using_far.py tests/lake/test_far_attack.py $(wildcard tests/interop/test_*.py)
test-duckdb: venv
	$(PYTHON) -m venv $(DUCKDB_15)
	$(BIN)/uv pip sync --quiet --python $(DUCKDB_15)/bin/python --require-hashes requirements/lock-duckdb-1.5.5.txt
	$(BIN)/uv pip install --quiet --python $(DUCKDB_15)/bin/python --no-deps --editable .
	$(DUCKDB_15)/bin/python -m pytest -q -n 2 --dist loadfile -m "not browser and not s3 and not slow and not long" $(ASK)
	$(DUCKDB_15)/bin/python -m pytest -q -n 2 --dist loadfile -m "s3 and not slow and not long" $(HTTPFS)

# The core of the suite with its lakes in a bucket, some 20 minutes; the result is kept in tests/far/RESULT.md.
test-far: venv
	$(BIN)/python -m pytest -q -m long tests

# Some 30 minutes and 25 GB of made-up files, kept for the next time in a folder of their own under the temporary one. ArcticDB wants an older
# pandas than the lock has, so the peers live in an environment of their own.
BENCH := .venv-bench
bench: venv
	$(PYTHON) -m venv $(BENCH)
	$(BIN)/uv pip sync --quiet --python $(BENCH)/bin/python --require-hashes requirements/lock-bench.txt
	$(BIN)/uv pip install --quiet --python $(BENCH)/bin/python --no-deps --editable .
	cd tests && ../$(BENCH)/bin/python -m benchmarks --write

bench-short: venv
	cd tests && ../$(BIN)/python -m benchmarks --short

# Generated queries, narrowed and whole, against plain tables: some 20 minutes.
fuzz: venv
	WORKBENCH_EXAMPLES=3000 $(BIN)/python -m pytest tests/query/test_narrow.py -k answers_like

# Some ten minutes: 500 kills of whatever writes to a lake, then eight processes that write for a minute beside four that read.
crash: venv
	cd tests && nice -n 5 ../$(BIN)/python -m crash --write

# Known faults of the pinned versions, where their data can be had; else that every version has its hashes.
audit: venv
	$(BIN)/python tests/audit.py

dictionary: venv
	$(BIN)/python -m workbench.query.dictionary > data/README.md
	$(BIN)/python -m workbench.tables.documents > docs/documents.md

lock:
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --extra api --extra backup --extra cluster --extra import --extra lab --extra orm --extra s3 --extra spark --extra test --custom-compile-command "make lock" \
		pyproject.toml -o $(LOCK)
	sed 's/^duckdb==.*/duckdb==1.5.5 \\/; /^ *--hash/d; s/ \\$$//' $(LOCK) | grep -v '^ *#' > requirements/.pins
	echo 'duckdb-extension-httpfs==1.5.5' >> requirements/.pins   # how that version reads a lake on s3://
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --custom-compile-command "make lock" \
		requirements/.pins --no-deps -o requirements/lock-duckdb-1.5.5.txt
	sed '/^\(pandas\|protobuf\)==/d; /^ *--hash/d; s/ \\$$//' $(LOCK) | grep -v '^ *#' > requirements/.pins
	echo 'protobuf<7' > requirements/.overrides   # ArcticDB wants an older one than yfinance, which no benchmark asks
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --extra bench --constraint requirements/.pins \
		--override requirements/.overrides \
		--custom-compile-command "make lock" pyproject.toml -o requirements/lock-bench.txt
	rm requirements/.pins requirements/.overrides

clean:
	rm -rf .venv .venv-* .pytest_cache .mypy_cache .ruff_cache .hypothesis
