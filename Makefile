# make demo: the whole analysis, computed and opened in a browser
# make test: every test
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
READY = $(VENV)/.ready

.PHONY: demo test check weights demo-data clean

demo: $(READY)
	$(BIN)/bystander demo

test: $(READY)
	$(BIN)/python -m pytest -m "not long and not browser"
	$(BIN)/python -m pytest -m "long or browser"

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The shipped weights and the shipped demo run, made anew (about an hour on 2 cores)
weights: $(READY)
	$(BIN)/python -m compute.demo weights

demo-data: $(READY)
	$(BIN)/python -m compute.demo run

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $(READY)

clean:
	rm -rf $(VENV) bystander-demo
