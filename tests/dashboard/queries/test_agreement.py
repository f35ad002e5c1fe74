"""Whether probes put models in one order, in a sentence; charts in the words of a measure."""

import pandas as pd

from compute.schema import PROBES, Probe
from dashboard.charts.description import Axis, Chart, Panel, Points
from dashboard.charts.measure import in_words_of
from dashboard.queries.agreement import agreement
from dashboard.queries.filters import AccuracyFilter


def drops(**by_probe):
    """Drops of models A, B and C in each probe, with a half width."""
    rows = []
    for probe, (values, half) in by_probe.items():
        for entry, value in zip("ABC"[: len(values)], values, strict=True):
            rows.append((probe, entry, value, value - half, value + half))
    return pd.DataFrame(rows, columns=["probe", "entry", "drop", "low", "high"])


def test_one_order_is_said_to_be_one():
    table = drops(pair=((0.1, 0.2, 0.3), 0.01), knn=((0.0, 0.02, 0.3), 0.05))
    assert agreement(table, "different").startswith(
        "All 2 probes put the models in one order: A, B and C lose least to most on the background"
    )


def test_intervals_apart_in_both_probes_are_a_contradiction():
    table = drops(pair=((0.1, 0.2), 0.01), retrieval=((0.3, 0.1), 0.05))
    text = agreement(table, "different")
    assert text.startswith(
        "Probes contradict each other: by pair tests A loses less than B on the background of "
        "another class, by retrieval more, with intervals apart in both."
    )
    more = drops(pair=((0.1, 0.2, 0.3), 0.01), retrieval=((0.3, 0.2, 0.1), 0.01))
    assert "(3 such pairs of models)" in agreement(more, "masked")


def test_orders_whose_intervals_overlap_are_not_told_apart():
    table = drops(pair=((0.1, 0.2), 0.01), multiclass=((0.1, 0.3), 0.0), knn=((0.12, 0.1), 0.05))
    text = agreement(table, "different")
    assert text.startswith("By pair tests and the multi-class probe A loses least on")
    assert "by nearest neighbours B; but no two models" in text
    assert "not distinguishable from one order" in text
    later = drops(pair=((0.1, 0.2, 0.21), 0.01), knn=((0.0, 0.3, 0.2), 0.2))
    assert agreement(later, "different").startswith("By every probe A loses least")


def test_one_probe_or_one_model_has_nothing_to_agree_with():
    assert agreement(drops(pair=((0.1, 0.2), 0.01)), "different") == ""
    assert agreement(drops(pair=((0.1,), 0.01), knn=((0.2,), 0.01)), "different") == ""
    assert agreement(drops(), "different") == ""
    unknown = drops(pair=((0.1, 0.2), float("nan")), knn=((0.2, 0.1), float("nan")))
    assert "not distinguishable" in agreement(unknown, "different")


def test_a_chart_speaks_of_its_measure_and_its_keys_stay():
    points = Points("accuracy", (1.0,), (2.0,), None, hover=("accuracy 3%",), picks=("accuracy",))
    panel = Panel(Axis("Accuracy", ("accuracy",)), Axis("Drop in accuracy"), (points,))
    chart = Chart("accuracy", "Accuracy falls", "Points of accuracy.", (panel,))
    assert in_words_of("accuracy", chart) is chart
    said = in_words_of("macro-F1", chart)
    assert (said.name, said.title, said.caption) == (
        "accuracy", "Macro-F1 falls", "Points of macro-F1."
    )  # fmt: skip
    (there,) = said.panels
    assert (there.x.title, there.y.title) == ("Macro-F1", "Drop in macro-F1")
    assert there.layers[0].picks == ("accuracy",)
    assert there.layers[0].hover == ("macro-F1 3%",)
    assert there.layers[0].x == (1.0,)


def test_every_probe_has_words_for_a_caption_and_a_chance():
    titles = [spec.title for spec in PROBES.values()]
    assert len(set(titles)) == len(titles) == len(Probe)
    for probe, spec in PROBES.items():
        sentence = AccuracyFilter(probe=str(probe)).sentence()
        assert sentence.lower().startswith(f"{spec.measure} in ".lower())
        assert ("every pair" in sentence) == (probe is Probe.PAIR)
        assert spec.chance in ("half", "classes", "none")
