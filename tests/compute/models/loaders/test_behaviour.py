"""Whatever but the crop decides an answer is found out before a run."""

import pytest
import torch
from torch import nn

from compute.errors import InputError
from compute.models.loaders.behaviour import check_behaviour, trial_crops


def network(*parts):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 8, 3), *parts, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    ).eval()


def check(module):
    with torch.inference_mode():
        return check_behaviour("Model 'm'", module, trial_crops(2, 24), module)


def test_crops_are_the_same_each_time_and_unlike_each_other():
    crops = trial_crops(3, 20)
    assert crops.shape == (2, 3, 20, 20)
    assert torch.equal(crops, trial_crops(3, 20))
    assert 0 <= crops.min() < crops.max() <= 1000
    assert crops[1].std() > 1.3 * crops[0].std()


@pytest.mark.parametrize(
    "part", [nn.BatchNorm2d(8), nn.Dropout(0.5), nn.GroupNorm(2, 8), nn.InstanceNorm2d(8)], ids=str
)
def test_networks_that_answer_every_crop_by_itself_pass(part):
    assert check(network(part)) == []


class Stubborn(nn.BatchNorm2d):
    """Stays in training mode, as some do to normalise by the batch."""

    def train(self, mode=True):
        return super().train(True)


class Noisy(nn.Module):
    def forward(self, x):
        return nn.functional.dropout(x, 0.5, training=True)


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def forward(self, x):
        self.seen += len(x)
        return x


class OfTheBatch(nn.Module):
    def forward(self, x):
        return (x - x.mean((0, 2, 3), keepdim=True)) / x.std((0, 2, 3), keepdim=True)


class Silent(nn.Module):
    def forward(self, x):
        return 0 * x + 3


class Unbounded(nn.Module):
    def forward(self, x):
        return x / (x - x)


class OnlyTwo(nn.Module):
    def forward(self, x):
        if len(x) == 1:
            raise ValueError("Expected more than 1 value per channel")
        return x


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (Stubborn(8), r"after eval\(\) 1 is still in training mode"),
        (Noisy(), r"answers the same crops differently the second time \(relative distance 0\.\d"),
        (Counting(), r"changes its own 1\.seen when it answers"),
        (OfTheBatch(), r"differently when another is in the batch"),
        (nn.BatchNorm2d(8, track_running_stats=False), r"when another is in the batch"),
        (Unbounded(), r"gives values that are not finite"),
        (Silent(), r"gives the same numbers for any crop"),
        (OnlyTwo(), r"given two crops and then one, failed with ValueError: Expected more"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_else_decides_an_answer_is_refused(part, said):
    with pytest.raises(InputError, match=r"Model 'm'.*" + said):
        check(network(part))


def test_a_parameter_that_changes_is_named():
    class Learning(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, x):
            self.linear.weight.data[0, 0] += 1e-6
            return self.linear(x[:, 0, :4, 0])

    with pytest.raises(InputError, match=r"changes its own linear\.weight"):
        check(Learning().eval())


class Keeping(nn.Module):
    """Keeps tensors of every call in itself, as much research code does, and a table for good."""

    def __init__(self):
        super().__init__()
        self.table, self.seen = None, {}

    def forward(self, x):
        if self.table is None:
            self.table = torch.ones(1)
        self.features = x.mean((2, 3), keepdim=True)
        self.seen["map"] = x
        return x - self.features * self.table


def test_tensors_that_are_kept_are_named():
    assert check(network(Keeping())) == ["1.seen", "1.features"]
