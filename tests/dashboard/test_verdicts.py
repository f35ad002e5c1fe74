"""What an answer is: right, the background's class, another, or nobody knows."""

import pytest

from dashboard.verdicts import LEGEND, MARKS, Verdict, judge


@pytest.mark.parametrize(
    ("answer", "right", "behind", "verdict"),
    [
        ("ER", ("ER",), None, Verdict.RIGHT),
        ("ER", ("ER",), "ER", Verdict.RIGHT),
        ("Golgi", ("ER",), "Golgi", Verdict.FOLLOWS),
        ("actin", ("ER",), "Golgi", Verdict.WRONG),
        ("actin", ("ER",), None, Verdict.WRONG),
        ("actin", ("ER",), float("nan"), Verdict.WRONG),
        ("actin", ("ER", "actin"), "actin", Verdict.RIGHT),
        ("actin", (), "actin", Verdict.FOLLOWS),
        ("actin", (), "ER", Verdict.OPEN),
    ],
)
def test_an_answer_is_judged(answer, right, behind, verdict):
    assert judge(answer, right, behind) is verdict


def test_every_sign_is_its_own_and_explained():
    signs = [mark.sign for mark in MARKS.values() if mark.sign]
    assert len(set(signs)) == len(signs) == 3
    assert all(f"{mark.sign} {mark.words}" in LEGEND for mark in MARKS.values() if mark.sign)
    assert MARKS[Verdict.OPEN].before("ER") == "ER"
    assert MARKS[Verdict.FOLLOWS].before("ER 40%") == "→ ER 40%"
