"""Layers in one pass against a pass each: both are timed; one layer is refused."""

import pytest

from compute.bench.layers import measure_layers
from compute.errors import UsageError


def test_four_layers_take_less_processor_time_in_one_pass(store, cards):
    layers = ("conv_3", "conv_5", "fc_1", "fc_2")
    one, each = measure_layers(store, cards["deeploc"], layers, crops=8, batch=8, repeats=3)
    assert 0 < one.cpu < each.cpu
    with pytest.raises(UsageError, match="does not give conv_5 in one pass"):
        measure_layers(store, cards["deeploc"], ["conv_5"], crops=8)
