"""A tour, from a store to a figure.

This page is a script, `docs/tour.py`: what you see below was run when the page was made, in about a
minute. It takes the way of every study: cells, models, a run, numbers, a figure.
"""

from pathlib import Path

from compute import CropStore, PlanConfig, RunConfig, estimate, list_models, run, simulate
from dashboard import compare, draw

place = Path("bystander-tour")

# ## Cells
#
# A crop store holds crops of single cells, each with the mask of the cell in its centre, its
# protein and the protein's localization. `compute.import_manifest` and its sisters make one from
# images. Here cells are simulated: two proteins of each of 15 localizations, two more that are in
# two places, and 6 cells of each. (`workers=1` keeps it in this process; a script that leaves it
# out needs `if __name__ == "__main__":`.)

simulate(
    place / "store", proteins_per_class=2, mixed_proteins=2, cells_per_protein=6, seed=7,
    workers=1, overwrite=True,
)  # fmt: skip
store = CropStore(place / "store")
print(len(store.cells), "cells, channels", ", ".join(store.channels))
print(store.cells[["protein", "localization", "field"]].head(3).to_string(index=False))

# Pixels are read where they are needed: cells × channels × height × width.

print(store.arrays(first=4).images.shape)

# ## Models
#
# Three networks come with Bystander, trained on other simulated cells. A model card of your own
# (`compute.train`, `compute.convert`) goes wherever a name goes.

for name, card in list_models().items():
    print(f"{name}: reads {', '.join(card.channels)}; numbers from {card.layer}")

# ## What a run would take
#
# A configuration says everything that the tables depend on. This one is small: two background
# classes in the pair tests, two folds. Nothing has run yet.

config = RunConfig(plan=PlanConfig(backgrounds=2, folds=2), examples=1)
models = ["deeploc", "pifia"]
found = estimate(place / "store", models, config)
print(f"{sum(found.trials.values()):,} trials for each model, {found.fits:,} linear SVMs")

# ## The run
#
# Every cell goes on every background, every model embeds all of it, and probes are fitted and
# tested. Interrupted, the same call goes on; finished, it is there at once.

finished = run(place / "store", place / "run", models, config, fresh=True)
print(finished.meta["counts"]["trials"], "trials; finished:", finished.complete)

# ## Numbers
#
# Each table of the run is a call away. The gap is accuracy on backgrounds of the same localization
# minus accuracy on those of another: what a model takes from the neighbours. So few
# proteins cannot be resampled: the intervals are over cells.

effects = finished.read("effects").to_pandas()
overall = (effects["scope"] == "overall") & (effects["probe"] == "pair")
gaps = effects[overall & (effects["effect"] == "gap") & (effects["aggregation"] == "all")]
print(gaps[["model", "protocol", "estimate", "ci_low", "ci_high"]].round(3).to_string(index=False))

# Or ranked, as `bystander compare` prints it:

ranking = compare(place / "run", condition="masked")
print(ranking.table[["rank", "model", "accuracy", "drop", "gap"]].round(3).to_string(index=False))

# ## A figure
#
# Any figure of the dashboard can be drawn into a file, with its caption and where it is from.
# `dashboard.write_report` puts several into one HTML, PDF or PowerPoint file, and
# `dashboard.launch` opens all of them in a browser.

draw(place / "run", "accuracy", place / "accuracy.svg")

# ![Accuracy of both models under every background condition, with 95% intervals, a panel for each
# protocol](bystander-tour/accuracy.svg)
