"""Colours: one for every condition and model, told apart by every reader, on both pages."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.color import deltaE_ciede2000, rgb2lab

from compute.schema import Condition
from dashboard.theme import (
    ALERT,
    CHANNEL_INKS,
    CONDITION_INKS,
    KNOWN_MODELS,
    MODEL_MARKS,
    MUTED,
    OTHER_CHANNELS,
    PAGE,
    TEXT,
    channel_inks,
    in_order,
    model_marks,
)

# Machado, Oliveira and Fernandes (2009), severity 1.
SIGHTS = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}
FAMILIES = {
    "conditions": list(CONDITION_INKS.values()),
    "models": [mark.ink for mark in MODEL_MARKS],
}


def linear(text):
    rgb = np.array([int(text[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def seen(text, sight):
    rgb = np.clip(SIGHTS[sight] @ linear(text), 0, 1)
    rgb = np.where(rgb <= 0.0031308, 12.92 * rgb, 1.055 * rgb ** (1 / 2.4) - 0.055)
    return rgb2lab(rgb[None, None])[0, 0]


def contrast(one, other):
    a, b = sorted(float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (one, other))
    return (b + 0.05) / (a + 0.05)


def test_every_condition_has_a_colour_and_a_place():
    assert set(CONDITION_INKS) == set(Condition)
    paper = ["unaltered", "same", "different", "cell_free", "masked"]
    assert in_order(reversed(Condition))[:5] == paper
    assert in_order(["different", "unaltered"]) == ["unaltered", "different"]


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("sight", SIGHTS)
@pytest.mark.parametrize("family", FAMILIES)
def test_any_two_colours_can_be_told_apart(family, sight, dark):
    inks = [ink.on(dark) for ink in FAMILIES[family]]
    apart = {
        (one, other): float(deltaE_ciede2000(seen(one, sight), seen(other, sight)))
        for one, other in combinations(inks, 2)
    }
    nearest = min(apart, key=lambda pair: apart[pair])
    assert apart[nearest] >= 14, f"{nearest[0]} and {nearest[1]} are {apart[nearest]:.1f} apart"


@pytest.mark.parametrize("dark", [False, True])
def test_colours_stand_out_from_the_page(dark):
    for inks in FAMILIES.values():
        assert min(contrast(ink.on(dark), PAGE.on(dark)) for ink in inks) >= 3
    for ink in (TEXT, MUTED, ALERT):
        assert contrast(ink.on(dark), PAGE.on(dark)) >= 4.5


def test_a_model_keeps_its_mark_whatever_the_run_holds():
    alone, all_ = model_marks(["pifia"]), model_marks([*KNOWN_MODELS, "mine", "yours"])
    assert alone["pifia"] == all_["pifia"]
    assert len({(m.symbol, m.ink) for m in all_.values()}) == 5
    many = model_marks([f"m{i}" for i in range(9)])
    assert len({(m.symbol, m.ink) for m in many.values()}) == 12


@pytest.mark.parametrize("sight", SIGHTS)
def test_channels_are_told_apart_on_black(sight):
    inks = [ink for ink, _ in (*CHANNEL_INKS, OTHER_CHANNELS)]
    for one, other in combinations(inks, 2):
        apart = float(deltaE_ciede2000(seen(one, sight), seen(other, sight)))
        assert apart >= 11, f"{one} and {other} are {apart:.1f} apart"
    assert min(contrast(ink, "#000000") for ink in inks) >= 3


@given(st.sets(st.integers(0, 11), min_size=1))
def test_six_channels_have_a_colour_each_and_keep_it(shown):
    numbers = sorted(shown)
    inks = channel_inks(numbers)
    coloured = [ink for ink in inks if ink != OTHER_CHANNELS]
    assert len(coloured) == len(set(coloured)) == min(6, len(numbers))
    for number, ink in zip(numbers, inks, strict=True):
        assert number >= 6 or ink == CHANNEL_INKS[number]
    assert inks[6:] == [OTHER_CHANNELS] * len(inks[6:])
