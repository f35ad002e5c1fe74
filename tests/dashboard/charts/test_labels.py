"""Labels never cover each other, and stay in their panel."""

from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.charts import labels
from dashboard.charts.description import LONGEST, Axis

spots = st.lists(st.tuples(st.floats(0.4, 1.0), st.floats(0.4, 1.0)), min_size=1, max_size=15)


@given(spots)
@settings(max_examples=60, deadline=None)
def test_labels_do_not_cover_each_other(points):
    x, y = zip(*points, strict=True)
    names = [f"class {i}" for i in range(len(points))]
    texts, places = labels.place(x, y, names, range(len(points)), (0.4, 1.01))
    marks = [((a - 0.4) / 0.61, (b - 0.4) / 0.61) for a, b in points]
    boxes = [
        labels._box(*mark, len(text) * labels.LETTER, place)
        for mark, text, place in zip(marks, texts, places, strict=True)
        if text
    ]
    assert not any(labels._meet(a, b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert all(labels._inside(box) for box in boxes)


def test_a_mark_alone_is_named_and_only_those_wanted_are():
    texts, _ = labels.place([0.7, 0.9], [0.7, 0.9], ["a", "b"], [1], (0.4, 1.01))
    assert texts == ("", "b")


def test_in_a_crowd_only_the_first_is_named():
    x = [0.5 + 0.01 * (i % 40) for i in range(1600)]
    y = [0.5 + 0.01 * (i // 40) for i in range(1600)]
    middle = [820, 825, 815]
    texts, _ = labels.place(x, y, [f"name {i}" for i in range(1600)], middle, (0.4, 1.01))
    assert [i for i, text in enumerate(texts) if text] == [820]


@given(st.lists(st.text(max_size=80), unique=True, max_size=12))
def test_categories_are_written_short_and_stay_different(names):
    written = Axis(categories=tuple(names)).labels
    assert len(set(written)) == len(names)
    if written != tuple(names):
        assert all(len(line) <= LONGEST for name in written for line in name.split("\n"))
    for name, short in zip(names, written, strict=True):
        assert short == name or len(name) > LONGEST


def test_the_middle_of_a_long_category_is_left_out():
    names = [f"N,N-dimethyl-4-[(E)-2-(pyridin-4-yl)ethenyl]aniline {i}" for i in (1, 14)]
    one, other = Axis(categories=tuple(names)).labels
    assert one.startswith("N,N-dimethyl-4-[")
    assert (one[-2:], other[-3:]) == (" 1", " 14")
    alike = tuple(f"{'a' * 25}{middle}{'b' * 25}" for middle in "xy")
    assert Axis(categories=alike).labels == alike
