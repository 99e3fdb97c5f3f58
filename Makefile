# `make demo` and `make test` are all one needs; both install what is missing first.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check clean

demo: .venv/.run
	$(BIN)/canemo demo demo_study
	@echo "for the command canemo in this terminal: . $(BIN)/activate"

test: .venv/.dev
	scripts/test

check: .venv/.dev
	scripts/check

clean:
	rm -rf .venv demo_study

.venv/.run: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/.dev: .venv/.run pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@
