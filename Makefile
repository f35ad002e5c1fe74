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

# The shipped weights, made anew: the demo's proteins in other fields (about an hour on 2 cores)
weights: $(READY)
	$(BIN)/bystander simulate out/training --cells-per-protein 80 --fields-per-protein 6 \
		--replicates 3 --seed 10 --overwrite
	for network in pifia paired_cell deeploc; do \
		$(BIN)/bystander train $$network out/training --out data/weights --dtype float16 \
			--license BSD-3-Clause || exit 1; \
	done

# The shipped demo run, made anew with the shipped weights
demo-data: $(READY)
	rm -rf out/demo data/demo
	$(BIN)/bystander demo --out out/demo --no-dashboard
	mkdir -p data/demo
	cp -r out/demo/run/. data/demo/

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $(READY)

clean:
	rm -rf $(VENV) bystander-demo
