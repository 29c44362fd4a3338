# The commands of the project. `make run` needs only Python 3.11 or later and make; `make test` the same.

UV := $(shell command -v uv || echo .uv/bin/uv)
SYNC := $(UV) sync --locked --inexact --quiet
RUN := $(UV) run --no-sync

# Without compiled bytecode tensorflow takes three times as long to import.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run test lint install install-serving models redden-model paper-models gaussian-model openapi proto clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

run: install-serving ## Start redden on http://127.0.0.1:8000 with its models and a demo galaxy
	@$(RUN) redden serve

test: install lint ## Check style and types, and run all tests
	$(RUN) pytest

lint: install
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) mypy

install: $(UV) ## Install everything: serving, training, tests
	@echo "Installing (the first time takes a minute or two) ..."
	@$(SYNC) --all-extras --compile-bytecode

install-serving: $(UV) ## Install what serving needs; no tensorflow
	@echo "Installing (the first time takes about a minute) ..."
	@$(SYNC) --extra serving

models: redden-model paper-models gaussian-model ## Make models like the committed ones from the same seeds, into data/models (hours)

redden-model: install ## The default model: scenes, fit, levels, domain score, reports (about five hours on two cores)
	$(RUN) redden-train scenes data/scenes --galaxies 100000 --seed 11
	$(RUN) redden-train fit redden --data data/scenes --out data/runs/redden --seed 0
	$(RUN) redden-train domain data/runs/redden --data data/scenes
	$(RUN) redden-train scenes data/levels --galaxies 64000 --seed 13
	$(RUN) redden-train calibrate data/runs/redden --data data/levels --fresh --scenes 200000
	$(RUN) redden-train scenes data/fresh --galaxies 105000 --seed 14
	$(RUN) redden-train coverage data/runs/redden --data data/fresh --fresh --scenes 200000 --looks 2 --out data/runs/redden
	$(RUN) redden-train compare-rivals data/runs/redden --data data/fresh --train-scenes 200000 --test-scenes 10000 --out data/runs/redden
	$(RUN) redden-train export data/runs/redden data/models

paper-models: install ## The paper's six networks, on its own kind of data set (about an hour on two cores)
	$(RUN) redden-train simulate data/paper --galaxies 880 --seed 7 --sampling paper --redshifts snapshots
	set -e; export TF_ENABLE_ONEDNN_OPTS=1; for name in paper-1band paper-3band; do \
	  $(RUN) redden-train fit $$name --data data/paper --out data/runs/$$name --seed 0; \
	  $(RUN) redden-train evaluate data/runs/$$name --data data/paper; \
	  $(RUN) redden-train export data/runs/$$name data/models; \
	done

gaussian-model: install ## The Gaussian three-band model (about half an hour on two cores)
	$(RUN) redden-train simulate data/first --galaxies 26000 --seed 2 --depth 28.6 29.8
	$(RUN) redden-train fit gaussian-3band --data data/first --out data/runs/gaussian-3band --seed 0
	$(RUN) redden-train evaluate data/runs/gaussian-3band --data data/first
	$(RUN) redden-train export data/runs/gaussian-3band data/models

openapi: install ## Write openapi/openapi.json
	$(RUN) redden openapi openapi/openapi.json

proto: install ## Take the TensorFlow Serving protocol from the official package
	$(RUN) python -m service.inference.take_protocol

clean: ## Remove the environments and caches
	rm -rf .venv .uv .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage*

.uv/bin/uv:
	python3 -m venv .uv
	.uv/bin/pip install --quiet uv
