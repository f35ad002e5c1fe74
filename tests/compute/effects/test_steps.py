"""What a drop is made of, its dose and its worst case, against plain loops over a run's files."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from compute.schema import ANSWERING, FITTED, STEPS, Condition, Dose, DropPart, Probe
from compute.statistics.dose import BINS
from tests.compute.effects.test_effects_tables import answers, mean_over_cells, scope_rows
from tests.compute.summarised_run import COMPOSED, EMBED, MODELS, read_plain
from tests.compute.synthetic_cells import CLASSES


def trials_at(made, model, protocol, end):
    """Answers at an end of a step: the trials that are read again, in that view."""
    condition, left, locked = end
    view = EMBED.view(condition, left=left, locked=locked)
    frame = answers(made, model, condition, protocol)
    if condition is Condition.UNALTERED:
        return frame
    again = view if view.reading else EMBED.view(condition, left=left, locked=not locked)
    second = made.second(model, condition, again.reading, protocol).set_index("trial")["predicted"]
    frame = frame[frame["trial"].isin(second.index)].copy()
    if view.reading:
        frame["predicted"] = second.loc[frame["trial"]].to_numpy()
    return frame


def multiclass_accuracy(made, frame):
    """By class, every cell counting once."""
    right = frame["predicted"] == frame["own"]
    by_class = {
        name: mean_over_cells(right[frame["own"] == name], frame["cell"][frame["own"] == name])
        for name in made.tested()
    }
    return {None: np.mean(list(by_class.values())), **by_class}


def pair_accuracy(made, model, protocol, end):
    """Mean over pairs, and over the pairs with each class, of the share of right answers."""
    condition, left, locked = end
    view = EMBED.view(condition, left=left, locked=locked)
    kind = "tallies" if condition is Condition.UNALTERED else "step_tallies"
    rows = read_plain(made.run.pairs(kind, model, view.name)).query("protocol == @protocol")
    pairs = {}
    for a, b in combinations(made.tested(), 2):
        here = rows[
            ((rows["localization"] == a) & (rows["other"] == b))
            | ((rows["localization"] == b) & (rows["other"] == a))
        ]
        pairs[a, b] = here["correct"].sum() / here["n"].sum()
    found = {None: np.mean(list(pairs.values()))}
    for name in made.tested():
        found[name] = np.mean([share for pair, share in pairs.items() if name in pair])
    return found


@pytest.mark.parametrize("probe", ANSWERING)
@pytest.mark.parametrize("protocol", list(FITTED))
def test_a_step_is_the_difference_of_the_accuracies_at_its_ends(made, unit, probe, protocol):
    table = made.frame("decomposition")
    assert set(table["unit"]) == {unit}
    for model in MODELS:
        rows = table.query("model == @model and probe == @probe and protocol == @protocol")
        at = {}
        for end in EMBED.step_views(COMPOSED):
            at[end] = (
                pair_accuracy(made, model, protocol, end)
                if probe is Probe.PAIR
                else multiclass_accuracy(made, trials_at(made, model, protocol, end))
            )
        assert len(rows) == len(STEPS) * len(DropPart) * (1 + len(made.tested()))
        for row in rows.itertuples():
            spec = STEPS[row.step]
            total, context = (
                at[spec.before, spec.left_before, locked][
                    None if pd.isna(row.localization) else row.localization
                ]
                - at[spec.after, spec.left_after, locked][
                    None if pd.isna(row.localization) else row.localization
                ]
                for locked in (False, True)
            )
            expected = {"total": total, "context": context, "rescaling": total - context}
            assert row.estimate == pytest.approx(expected[row.part], abs=1e-12)
            assert row.ci_low <= row.estimate <= row.ci_high
        assert rows.query("step == 'neighbours'")["estimate"].abs().max() > 0.02


def test_steps_and_parts_add_up(made):
    table = made.frame("decomposition")
    keys = ["model", "probe", "protocol", "scope", "localization"]
    wide = table.pivot_table(
        index=[*keys, "part"], columns="step", values="estimate", dropna=False
    ).dropna(how="all")
    steps = [str(step) for step in STEPS if step != "total"]
    assert len(wide) > 20
    assert (wide[steps].sum(axis=1) - wide["total"]).abs().max() < 1e-9
    wide = table.pivot_table(
        index=[*keys, "step"], columns="part", values="estimate", dropna=False
    ).dropna(how="all")
    assert (wide["rescaling"] + wide["context"] - wide["total"]).abs().max() < 1e-9


def test_without_second_readings_nothing_is_said_of_steps(made):
    kept = made.frame("decomposition")
    made.run.summary("decomposition").unlink()
    made.summarise(embed=type(EMBED)(second_readings=False))
    assert len(made.frame("decomposition")) == 0
    made.run.summary("decomposition").unlink()
    made.summarise()
    assert made.frame("decomposition").equals(kept)


@pytest.mark.parametrize("dose", list(Dose))
def test_a_quartiles_drop_is_what_its_trials_lose(made, dose):
    table = made.frame("dose").query("measure == @dose")
    assert set(table["condition"]) == {"same_protein", "same", "different"}
    shown = made.trials().set_index("trial")[str(dose)]
    for model, condition, protocol in (("one", "different", "frozen"), ("two", "same", "refit")):
        rows = table.query("model == @model and condition == @condition and protocol == @protocol")
        trials = answers(made, model, condition, protocol)
        trials["dose"] = shown.loc[trials["trial"]].to_numpy()
        trials["weight"] = 1 / trials.groupby("cell")["trial"].transform("size")
        lost = (trials["before"] == trials["own"]) * 1.0 - (trials["predicted"] == trials["own"])
        quartiles = rows[rows["quartile"].notna()].set_index("quartile")
        assert quartiles.index.tolist() == [1, 2, 3, 4]
        assert quartiles["low"].iloc[0] == pytest.approx(trials["dose"].min())
        assert quartiles["high"].iloc[-1] == pytest.approx(trials["dose"].max())
        many = []
        for number, row in quartiles.iterrows():
            last = number == 4
            here = (trials["dose"] >= row["low"]) & (
                (trials["dose"] < row["high"]) | (last & (trials["dose"] <= row["high"]))
            )
            many.append(here.sum())
            by_class = [
                np.average(lost[here & own], weights=trials["weight"][here & own])
                for own in (trials["own"] == name for name in CLASSES)
                if (here & own).any()
            ]
            assert row["estimate"] == pytest.approx(np.mean(by_class))
            assert row["low"] <= row["dose"] <= row["high"]
        assert max(many) - min(many) <= 2
        line = rows[rows["quartile"].isna()]
        assert 8 < len(line) <= BINS // 2
        assert line["dose"].is_monotonic_increasing
        assert ((line["low"] <= line["dose"]) & (line["dose"] <= line["high"])).all()
        inside = quartiles["estimate"]
        assert line["estimate"].between(inside.min() - 0.3, inside.max() + 0.3).all()


def test_the_worst_case_is_the_share_of_cells_that_are_always_right(made):
    table = made.frame("worst_case")
    assert set(table["condition"]) == {"different", "cell_free"}
    for (model, condition, protocol), rows in table.groupby(["model", "condition", "protocol"]):
        trials = answers(made, model, condition, protocol)
        trials["right"] = trials["predicted"] == trials["own"]
        cells = trials.groupby("cell").agg(
            own=("own", "first"), always=("right", "all"), mean=("right", "mean"),
            kinds=("background", "nunique"),
        )  # fmt: skip
        cells = cells[cells["kinds"] >= 2]
        expected = cells.groupby("own")[["always", "mean", "kinds"]].mean()
        overall, by_class = scope_rows(rows, made.tested())
        for column, name in (("estimate", "always"), ("mean", "mean"), ("backgrounds", "kinds")):
            values = expected[name].loc[by_class.index].astype(float)
            assert np.allclose(by_class[column], values)
            assert getattr(overall, column) == pytest.approx(values.mean())
        assert overall.n_cells == len(cells)
        assert (rows["estimate"] <= rows["mean"] + 1e-12).all()
        assert ((rows["ci_low"] <= rows["estimate"]) & (rows["estimate"] <= rows["ci_high"])).all()
