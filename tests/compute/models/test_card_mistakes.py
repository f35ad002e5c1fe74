"""A card's mistakes are told all at once, each once, and one alone as it always was."""

import pytest

from compute.errors import InputError, UsageError, together
from compute.models.card import make_card
from compute.models.card_files import builtin_cards, load_card, resolve_models

RIGHT = builtin_cards()["pifia"].read_text("utf-8")


def card(tmp_path, *changes, name="mine.toml"):
    text = RIGHT
    for before, after in changes:
        assert before in text
        text = text.replace(before, after, 1)
    path = tmp_path / name
    path.write_text(text, "utf-8")
    return path


def lines(path):
    with pytest.raises(InputError) as caught:
        load_card(path)
    assert caught.value.problem.startswith(f"{path}: Model card: ")
    return caught.value.problem, caught.value.remedy.split("\n")


def test_three_mistakes_of_three_kinds_are_one_error(tmp_path):
    """An entry that does not exist, a wrong type, a name that does not exist."""
    path = card(
        tmp_path, ("scaling =", "scalling ="), ("simulated = true", 'simulated = "yes"'),
        ("pooling = \"", "pooling = \"x"),
    )  # fmt: skip
    problem, told = lines(path)
    assert problem.endswith("3 mistakes.")
    assert len(told) == 3
    assert "unknown entry 'scalling'. Did you mean 'scaling'?" in told[0]
    assert told[0].count("Allowed:") == 1
    assert "simulated = 'yes' is not true or false" in told[1]
    assert "Unknown pooling 'xm" in told[2]


def test_what_follows_from_a_mistake_is_not_told(tmp_path):
    """With no known source nothing can be said of layers; without channels, nothing of inputs."""
    path = card(tmp_path, ('network = "pifia"', 'network = "pifa"'), ("name = ", "nmae = "))
    _, told = lines(path)
    assert [line.split("'")[1] for line in told] == ["nmae", "pifa"]


def test_all_that_is_missing_is_told_with_what_is_wrong():
    with pytest.raises(InputError) as caught:
        make_card("timm:resnet18", layer="x", pooling="max", width=40.0, fit="squeeze")
    told = str(caught.value)
    for text in ("missing name, trained_on, simulated", "width = 40.0", "Unknown fit 'squeeze'"):
        assert text in told


def test_one_mistake_is_told_as_it_is(tmp_path):
    problem, _ = lines(card(tmp_path, ("width = ", "width = 4")))
    assert "mistakes" not in problem
    with pytest.raises(UsageError, match=r"^Unknown pooling 'maxx'\. Did you mean 'max'"):
        make_card("density", name="x", pooling="maxx")


def test_several_cards_are_told_of_together(tmp_path):
    first = card(tmp_path, ("name = ", "nmae = "), name="a.toml")
    second = card(tmp_path, ('pooling = "', 'pooling = "x'), ("name = ", "nmae = "), name="b.toml")
    with pytest.raises(InputError) as caught:
        resolve_models([first, "pifia", second, "pifa"])
    told = caught.value.remedy.split("\n")
    assert caught.value.problem == "Models: 3 mistakes."
    starts = [
        f"- {first}: Model card: unknown",
        f"- {second}: Model card: 2 mistakes",
        "  - ",
        "  - ",
    ]
    assert all(line.startswith(start) for line, start in zip(told[:-1], starts, strict=True))
    assert told[-1].startswith("- Unknown model 'pifa'. Did you mean 'pifia'?")


def test_errors_together_are_wrong_use_only_where_all_are():
    usage, other = UsageError("a", "b"), InputError("c")
    assert together("x", [other]) is other
    assert isinstance(together("x", [usage, usage]), UsageError)
    both = together("x", [usage, other])
    assert isinstance(both, InputError)
    assert both.remedy == "- a b\n- c"
