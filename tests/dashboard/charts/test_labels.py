"""Labels never cover each other, and stay in their panel."""

from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.charts import labels

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
