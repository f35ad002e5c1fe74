"""Columns of the tables of a run directory, and where each lies. No torch."""

import pyarrow as pa

from compute.schema.occlusions import OCCLUSION_SUMMARY, OCCLUSIONS
from compute.schema.remedies import REMEDIES
from compute.schema.stores import cells_schema

_string, _int64, _int32, _int16, _f32, _f64 = (
    pa.string(),
    pa.int64(),
    pa.int32(),
    pa.int16(),
    pa.float32(),
    pa.float64(),
)


def run_cells_schema() -> pa.Schema:
    """Return the columns of a run's `cells`: those of the store's, and the fold of each cell.

    `fold` is null for cells in no fold.
    """
    return cells_schema().append(pa.field("fold", _int16))


def trials_schema() -> pa.Schema:
    """Return the columns of `trials`: a row per synthetic crop.

    `donor` is the number of a cell, under `cell_free` that of a window; null where there is none.
    `donor_seen` says whether a probe that is tested on the trial was fitted on crops of the donor's
    protein; it is null without a donor, and for cells in no fold. `neighbour_fraction` is the share
    of the crop that the donor's neighbours cover, `neighbour_distance` the pixels from the pasted
    cell to the nearest of them (in steps to one of the four next pixels); the first is null without
    a donor's crop, the second also without a neighbour.
    """
    return pa.schema(
        [
            pa.field("trial", _int64, nullable=False),
            pa.field("cell", _int64, nullable=False),
            pa.field("condition", _string, nullable=False),
            ("donor", _int64),
            ("donor_localization", _string),
            pa.field("repeat", _int16, nullable=False),
            pa.field("seed", _int64, nullable=False),
            pa.field("flags", _int32, nullable=False),
            ("donor_seen", pa.bool_()),
            ("neighbour_fraction", _f32),
            ("neighbour_distance", _f32),
        ]
    )


def embeddings_schema(dimension: int, classes: int = 0) -> pa.Schema:
    """Return the columns of `embeddings` of vectors of a length: a row per trial and model.

    Where a model's own head answers with the store's `classes` (0, the default, where none does),
    `own` are its probabilities of them, and `own_left_out` is the share of probability that it gave
    to classes that stand for none of these.
    """
    own = [
        pa.field("own", pa.list_(_f32, classes), nullable=False),
        pa.field("own_left_out", _f32, nullable=False),
    ]
    return pa.schema(
        [
            pa.field("trial", _int64, nullable=False),
            pa.field("cell", _int64, nullable=False),
            pa.field("condition", _string, nullable=False),
            pa.field("embedding", pa.list_(_f32, dimension), nullable=False),
            *(own if classes else ()),
        ]
    )


def predictions_schema(classes: int) -> pa.Schema:
    """Return the columns of `predictions`: a row per trial and protocol, sorted by protein.

    Only a model whose head was asked has rows of the protocol `own`.

    `probabilities` are over `classes` classes, in the order of `localizations` in `run.json`.
    """
    return pa.schema(
        [
            pa.field("protein", _string, nullable=False),
            pa.field("cell", _int64, nullable=False),
            pa.field("trial", _int64, nullable=False),
            pa.field("condition", _string, nullable=False),
            pa.field("protocol", _string, nullable=False),
            pa.field("predicted", _string, nullable=False),
            pa.field("probabilities", pa.list_(_f32, classes), nullable=False),
        ]
    )


def exchanges_schema(classes: int) -> pa.Schema:
    """Return the columns of `exchanges`, which lies below the run's `work` folder alone.

    It says how proteins move where backgrounds do nothing, in their order. Rows with a `cell` hold
    how the mean of a condition's two multi-class probes changes from its unaltered crop to its
    trials. Rows with an `exchange` hold by how much the second probe's mean probabilities of the
    protein would exceed the first's, had the conditions been exchanged in random cells that these
    were fitted on. `change` is over `classes` classes.
    """
    return pa.schema(
        [
            pa.field("protein", _string, nullable=False),
            ("cell", _int64),
            ("exchange", _int32),
            pa.field("change", pa.list_(_f32, classes), nullable=False),
        ]
    )


PAIRWISE = pa.schema(
    [
        ("model", _string),
        ("condition", _string),
        ("protocol", _string),
        ("localization_a", _string),
        ("localization_b", _string),
        ("background", _string),
        ("accuracy", _f64),
        ("std", _f64),
        ("n", _int64),
    ]
)
"""A row per class pair and background class (null where there is none): the mean and standard
deviation over folds, and the number of cells."""

PAIR_TALLIES = pa.schema(
    [
        ("model", _string),
        ("condition", _string),
        ("protocol", _string),
        ("protein", _string),
        ("cell", _int64),
        ("localization", _string),
        ("other", _string),
        ("correct", _int64),
        ("n", _int64),
        ("n_cells", _int64),
    ]
)
"""What the bootstrap resamples: numbers of answers to held-out trials in pair tests with `other`.

A row is per protein (`cell` is null), or per cell where a class has fewer than 5 proteins.
"""

PAIR_DONORS = pa.schema(
    [
        ("protocol", _string),
        ("donor", _int32),
        ("localization", _string),
        ("view", _int32),
        ("other_view", _int32),
        ("bucket", _int32),
        ("value", _f64),
    ]
)
"""How donors move a model's pair accuracies under a condition, for the variance that they add.

A row is per donor unit (its number), localization (null for overall) and view of the trials, of
which there is one unless they are read again: its influence. Rows without a donor hold the products
of the influences, in two views, of the answers that a centre unit and a donor unit have in common,
summed; with a `bucket` it is that part of their sketch (`compute.statistics.sketch`), from which
the products of two models come. The table lies below the run's `work` folder alone.
"""

SCORES = pa.schema(
    [
        ("protocol", _string),
        ("unit", _int32),
        ("label", _int32),
        ("score", _f64),
        ("n", _f64),
        ("n_cells", _int64),
    ]
)
"""Sums of a probe's scores by resampling unit, of one model and condition; each cell counts once.

`n` is the number of cells that `score` is a sum over, and `label` null. Of the multi-label probe
rows with a `label` (the number of a class) hold twice the true positives in `score`, that plus
false positives and negatives in `n`, and the cells that have the label in `n_cells`. The table lies
below the run's `work` folder alone.
"""

ACCURACY = pa.schema(
    [
        ("model", _string),
        ("condition", _string),
        ("protocol", _string),
        ("probe", _string),
        ("aggregation", _string),
        ("scope", _string),
        ("localization", _string),
        ("estimate", _f64),
        ("ci_low", _f64),
        ("ci_high", _f64),
        ("unit", _string),
        ("donor_seen", _f64),
        ("n_cells", _int64),
        ("n_proteins", _int64),
    ]
)
"""Accuracies with intervals; `scope` is overall or localization (pairs are in `pairwise`).

`donor_seen` is the share of tested trials whose donor's protein the probe was fitted on, null
without donors. `unit` is what was resampled, of centre cells and of donors. With `unit`
localization (aggregation `published`) the interval is not from a bootstrap: it is the estimate ±
three standard errors over localizations, as in the paper. It is null where there is none.
"""

EFFECTS = pa.schema(
    [
        ("model", _string),
        ("effect", _string),
        ("condition", _string),
        ("protocol", _string),
        ("probe", _string),
        ("aggregation", _string),
        ("scope", _string),
        ("localization", _string),
        ("estimate", _f64),
        ("ci_low", _f64),
        ("ci_high", _f64),
        ("unit", _string),
        ("simultaneous_low", _f64),
        ("simultaneous_high", _f64),
        ("p_value", _f64),
        ("p_holm", _f64),
        ("margin", _f64),
        ("p_equivalence", _f64),
        ("p_equivalence_holm", _f64),
        ("margin_odds", _f64),
        ("p_equivalence_odds", _f64),
        ("p_equivalence_odds_holm", _f64),
        ("donor_seen", _f64),
        ("n_cells", _int64),
        ("n_proteins", _int64),
    ]
)
"""Drops, net drops (per condition) and background gaps, paired within protein.

`p_value` tests whether there is none. `p_equivalence` tests whether the effect lies within ±
`margin` (two one-sided tests), and `p_equivalence_odds`, where `margin_odds` was asked for, whether
the odds of a right answer change by less than that factor; only a small one supports a claim of
robustness. The three have null by localization.

Columns that end in `_holm` are adjusted (Holm) within a family: all models × all conditions in
which a kept cell stands on a foreign background or on none (`CLAIMED`), within one probe, protocol
and effect. So drops, net drops and gaps are families of their own. `sham` and `background_only` are
in none, and have null there.

`simultaneous_low` and `simultaneous_high` hold the true values of all drops (or all gaps) at once:
of all models × all conditions that the headline may name (`ConditionSpec.headline`), within one
probe and protocol. They are there for these overall effects, and null elsewhere.

With `unit` localization (aggregation `published`) the interval is the estimate ± three standard
errors of the differences within localizations. It is null, and `unit` too, where the two accuracies
are means over different localizations, as are unaltered and swapped ones.
"""

MODEL_DIFFERENCES = pa.schema(
    [
        ("model", _string),
        ("other", _string),
        ("quantity", _string),
        ("condition", _string),
        ("protocol", _string),
        ("probe", _string),
        ("scope", _string),
        ("estimate", _f64),
        ("ci_low", _f64),
        ("ci_high", _f64),
        ("unit", _string),
        ("p_value", _f64),
        ("p_holm", _f64),
        ("n_cells", _int64),
        ("n_proteins", _int64),
    ]
)
"""Any two models of a run on the same cells and backgrounds: `model` minus `other`.

`quantity` is one of `Quantity`; each is over the tests that both models have under every condition
that it needs. `scope` is overall. `p_value` tests whether both are the same (sign flips); `p_holm`
is adjusted over all pairs of models × the conditions `CLAIMED` (and for accuracy `unaltered`)
within one probe, protocol and quantity, and null under the other conditions.
"""

TRAINING_SEEDS = pa.schema(
    [
        ("network", _string),
        ("models", pa.list_(_string)),
        ("quantity", _string),
        ("condition", _string),
        ("protocol", _string),
        ("probe", _string),
        ("scope", _string),
        ("estimates", pa.list_(_f64)),
        ("estimate", _f64),
        ("ci_low", _f64),
        ("ci_high", _f64),
        ("sampling_sd", _f64),
        ("seed_sd", _f64),
        ("unit", _string),
        ("n_cells", _int64),
        ("n_proteins", _int64),
    ]
)
"""One network trained from several seeds (`RunConfig.seeds_of`): means over its models.

`estimates` are those of the `models`, in their order, over the tests that all of them have;
`estimate` is their mean. Its interval is about the network as it comes out of training, whatever
the seed: its variance is `sampling_sd`² (proteins and donors) + `seed_sd`² / number of models,
where `seed_sd` is the standard deviation between models.
"""

SHIFTS = pa.schema(
    [
        ("model", _string),
        ("condition", _string),
        ("protocol", _string),
        ("protein", _string),
        ("orf", _string),
        ("labels", pa.list_(_string)),
        ("jsd", _f64),
        ("tv", _f64),
        ("kl", _f64),
        ("noise_floor", _f64),
        ("p_value", _f64),
        ("q_value", _f64),
        ("top_before", _string),
        ("top_after", _string),
        ("flipped_fraction", _f64),
        ("n_cells", _int64),
    ]
)
"""How far each protein's mean probabilities under a condition are from those under `unaltered`.

`jsd` is the Jensen-Shannon divergence in bits, `tv` the total variation, `kl` the Kullback-Leibler
divergence in nats (both distributions clipped at 1e-10). Under `refit`, `p_value` and `q_value` are
null where the probes' uncertainty is not known. `noise_floor` is the mean total variation between
random halves of the protein's own unaltered cells.
"""

VARIATION = pa.schema(
    [
        ("model", _string),
        ("protein", _string),
        ("orf", _string),
        ("labels", pa.list_(_string)),
        ("best", _string),
        ("log_e", _f64),
        ("p_value", _f64),
        ("q_value", _f64),
        ("n_cells", _int64),
    ]
)
"""Whether one class fits all cells of a protein, by the multi-class probe's unaltered answers.

`log_e` is the natural logarithm of an e-value against that, `best` the class that fits best,
`p_value` the e-value's reciprocal, `q_value` adjusted over proteins (Benjamini-Hochberg).
"""

MIXED_SHIFTS = pa.schema(
    [
        ("model", _string),
        ("condition", _string),
        ("protocol", _string),
        ("population", _string),
        ("estimate", _f64),
        ("ci_low", _f64),
        ("ci_high", _f64),
        ("shifted", _int64),
        ("kl_25", _f64),
        ("kl_50", _f64),
        ("kl_75", _f64),
        ("n_cells", _int64),
        ("n_proteins", _int64),
    ]
)
"""How many proteins with mixed localization shift substantially; `population` is a `Population`.

`estimate` is the share of `n_proteins` (one row an ORF, where ORFs are known) with a q-value of at
most 0.05 and a total variation of at least 0.2; null where there are no q-values. `kl_25` to
`kl_75` are quartiles of their Kullback-Leibler divergence, in nats.
"""

DISTRIBUTIONS = pa.schema(
    [
        ("model", _string),
        ("condition", _string),
        ("protocol", _string),
        ("protein", _string),
        ("localization", _string),
        ("proportion", _f64),
        ("mean_probability", _f64),
        ("n_cells", _int64),
    ]
)

EXAMPLES = pa.schema(
    [
        ("protein", _string),
        ("cell", _int64),
        ("condition", _string),
        ("trial", _int64),
        ("localization", _string),
        ("labels", pa.list_(_string)),
        ("donor", _int64),
        ("donor_localization", _string),
        ("donor_protein", _string),
        ("flags", _int32),
        ("images", pa.list_(pa.binary())),
        ("offset", pa.list_(_f64)),
        ("gain", pa.list_(_f64)),
        ("outline", pa.list_(pa.list_(_f32))),
        (
            "predictions",
            pa.list_(
                pa.struct(
                    [
                        ("model", _string),
                        ("protocol", _string),
                        ("predicted", _string),
                        ("probability", _f32),
                    ]
                )
            ),
        ),
    ]
)
"""A row per cell and condition, with a PNG per channel (value = offset + gain × stored).

Each item of `outline` is a closed contour as x0, y0, x1, y1, … in pixels.
"""

MOSAIC = pa.schema(
    [
        ("cell", _int64),
        ("group", _string),
        ("rank", _int32),
        ("group_cells", _int64),
        ("looked_at", _int64),
        ("protein", _string),
        ("localization", _string),
        ("labels", pa.list_(_string)),
        ("field", _string),
        ("flags", _int32),
        ("size", _int32),
        ("reduced", _int32),
        ("images", pa.list_(pa.binary())),
        ("offset", pa.list_(_f64)),
        ("gain", pa.list_(_f64)),
        ("outline", pa.list_(pa.list_(_f32))),
        ("neighbours", pa.list_(pa.list_(_f32))),
    ]
)
"""A row per cell of a mosaic of the store, as it was stored; images as in `examples`.

`group` is `good` (no flag) or the name of a flag, `rank` the place in it, from 1; `group_cells` of
the store's cells are of that group, of which `looked_at` were compared. `size` is the side of the
crop in pixels, of which a pixel of the images has `reduced`; `outline` (the cell) and `neighbours`
(all others) are in pixels of the images.
"""

FLIPS = pa.schema(
    [
        ("model", _string),
        ("condition", _string),
        ("protocol", _string),
        ("direction", _string),
        ("scope", _string),
        ("localization", _string),
        ("estimate", _f64),
        ("ci_low", _f64),
        ("ci_high", _f64),
        ("unit", _string),
        ("n_cells", _int64),
        ("n_proteins", _int64),
    ]
)
"""How often the multi-class probe's answer changes, by `Flip`, as a share of trials.

Every cell counts once, however many trials it has, as in `accuracy`, so that the drop is `lost`
less `gained`. Trials are compared with `unaltered`, which therefore has no rows. `scope` is overall
(the mean over localizations) or localization.
"""

CALIBRATION = pa.schema(
    [
        ("model", _string),
        ("condition", _string),
        ("protocol", _string),
        ("measure", _string),
        ("temperature", _f64),
        ("estimate", _f64),
        ("ci_low", _f64),
        ("ci_high", _f64),
        ("unit", _string),
        ("n_cells", _int64),
        ("n_proteins", _int64),
    ]
)
"""Whether probabilities mean what they say; `measure` is one of `Calibration`.

`temperature` is 1 for the probabilities as they are, otherwise the one that was fitted on unaltered
crops and is applied to every condition.
"""

RELIABILITY = pa.schema(
    [
        ("model", _string),
        ("condition", _string),
        ("protocol", _string),
        ("temperature", _f64),
        ("bin", _int32),
        ("confidence", _f64),
        ("accuracy", _f64),
        ("n", _int64),
        ("n_cells", _int64),
    ]
)
"""The reliability diagram behind `calibration`: trials by their highest probability."""

BACKGROUNDS = pa.schema(
    [
        ("model", _string),
        ("condition", _string),
        ("protocol", _string),
        ("localization", _string),
        ("background", _string),
        ("accuracy", _f64),
        ("drop", _f64),
        ("ci_low", _f64),
        ("ci_high", _f64),
        ("attraction", _f64),
        ("attraction_low", _f64),
        ("attraction_high", _f64),
        ("unit", _string),
        ("n_cells", _int64),
        ("n_proteins", _int64),
    ]
)
"""A row per class of the centre cell and class of the background (multi-class probe).

`drop` is against the same cells' unaltered crops. `attraction` is how much more often than on those
the answer is the background's class.
"""

RESCALING = pa.schema(
    [
        ("model", _string),
        ("condition", _string),
        ("part", _string),
        ("scope", _string),
        ("localization", _string),
        ("estimate", _f64),
        ("ci_low", _f64),
        ("ci_high", _f64),
        ("unit", _string),
        ("n_cells", _int64),
        ("n_proteins", _int64),
    ]
)
"""Drops divided in two; `part` is one of `DropPart` (`total` = `rescaling` + `context`).

They are of the frozen multi-class probe, over one trial (repeat 0) per cell, which is read twice:
scaled by the crop's own range, and by the range of the cell's unaltered crop.
"""

DECOMPOSITION = pa.schema(
    [
        ("model", _string),
        ("protocol", _string),
        ("probe", _string),
        ("step", _string),
        ("part", _string),
        ("scope", _string),
        ("localization", _string),
        ("estimate", _f64),
        ("ci_low", _f64),
        ("ci_high", _f64),
        ("unit", _string),
        ("n_cells", _int64),
        ("n_proteins", _int64),
    ]
)
"""What a drop is made of: a row per `Step` and `DropPart`, in accuracy lost.

The steps add up to `total`, and of every step `rescaling` + `context` to its `total`. They are over
the cells (in pair tests: cells and other classes) that have answers in every reading, with one
trial of a cell on each background class.
"""

DOSE = pa.schema(
    [
        ("model", _string),
        ("condition", _string),
        ("protocol", _string),
        ("measure", _string),
        ("quartile", _int32),
        ("dose", _f64),
        ("low", _f64),
        ("high", _f64),
        ("estimate", _f64),
        ("ci_low", _f64),
        ("ci_high", _f64),
        ("unit", _string),
        ("n_cells", _int64),
        ("n_proteins", _int64),
    ]
)
"""The multi-class probe's drop against how much of a donor's neighbours shows (`measure`: `Dose`).

Rows with a `quartile` (1 to 4) are the drop over trials whose dose lies from `low` to `high`; their
median is `dose`. Rows without one are points of a smooth line, each a weighted mean over trials
near `dose` (from `low` to `high`).
"""

WORST_CASE = pa.schema(
    [
        ("model", _string),
        ("condition", _string),
        ("protocol", _string),
        ("scope", _string),
        ("localization", _string),
        ("backgrounds", _f64),
        ("estimate", _f64),
        ("ci_low", _f64),
        ("ci_high", _f64),
        ("mean", _f64),
        ("mean_low", _f64),
        ("mean_high", _f64),
        ("unit", _string),
        ("n_cells", _int64),
        ("n_proteins", _int64),
    ]
)
"""The share of cells that are right on every background class (multi-class probe), beside the mean.

`estimate` is over cells that stand on at least two background classes, `backgrounds` of them on
average; `mean` is the accuracy of the same cells over the same trials.
"""

TRUTH = pa.schema(
    [
        ("model", _string),
        ("condition", _string),
        ("protocol", _string),
        ("protein", _string),
        ("tv_before", _f64),
        ("tv_after", _f64),
        ("jsd_before", _f64),
        ("jsd_after", _f64),
        ("top_true", _string),
        ("top_before", _string),
        ("top_after", _string),
        ("n_cells", _int64),
    ]
)
"""Distances of each protein's distribution from the true one, for simulated cells only.

`before` is under `unaltered`, `after` under the condition; the true distribution is the mean of the
same cells' true proportions.
"""

SUMMARY_TABLES: dict[str, pa.Schema] = {
    "pairwise": PAIRWISE,
    "pair_tallies": PAIR_TALLIES,
    "accuracy": ACCURACY,
    "effects": EFFECTS,
    "model_differences": MODEL_DIFFERENCES,
    "training_seeds": TRAINING_SEEDS,
    "flips": FLIPS,
    "backgrounds": BACKGROUNDS,
    "rescaling": RESCALING,
    "decomposition": DECOMPOSITION,
    "dose": DOSE,
    "worst_case": WORST_CASE,
    "calibration": CALIBRATION,
    "reliability": RELIABILITY,
    "shifts": SHIFTS,
    "distributions": DISTRIBUTIONS,
    "variation": VARIATION,
    "mixed_shifts": MIXED_SHIFTS,
    "truth": TRUTH,
    "examples": EXAMPLES,
    "mosaic": MOSAIC,
}
"""Run tables that are one Parquet file each, with their schemas."""

SENSITIVITY = pa.schema(
    [
        ("choice", _string),
        ("setting", _string),
        ("shift", _int32),
        ("is_base", pa.bool_()),
        ("model", _string),
        ("probe", _string),
        ("protocol", _string),
        ("quantity", _string),
        ("condition", _string),
        ("estimate", _f64),
        ("ci_low", _f64),
        ("ci_high", _f64),
        ("difference", _f64),
        ("difference_low", _f64),
        ("difference_high", _f64),
        ("unit", _string),
        ("n_cells", _int64),
        ("n_proteins", _int64),
        ("n_empty", _int64),
        ("n_border", _int64),
    ]
)
"""Overall findings under other settings, one choice (`Choice`) moved at a time from the run's own.

`quantity` is `accuracy`, `drop` or `gap`. Rows with `is_base` are the run's own, one for each
choice; `difference` is from them, over the same cells on the same donors, and null in them. It has
no interval in pair tests where donors are, whose part in it is not known. `shift` is the pixels by
which masks were moved, null under other choices; `n_empty` and `n_border` count the cells whose
mask is empty, or touches the border, under the setting.
"""

ADDED_TABLES: dict[str, pa.Schema] = {
    "sensitivity": SENSITIVITY,
    "remedies": REMEDIES,
    "occlusions": OCCLUSIONS,
    "occlusion_summary": OCCLUSION_SUMMARY,
}
"""Tables of one Parquet file each that a finished run can be given, with their schemas."""
