"""The figure “Drop by depth” on its page: there where a network is read at several layers."""

from dataclasses import replace

from dashboard.bench.synthetic_run import make_run
from tests.dashboard.opening import SMALL
from tests.dashboard.views.test_pages import fine, text_of
from tests.seals import change_header, header

CAPTION = "in the order in which the network computes them"


def test_accuracy_shows_the_drop_by_depth_only_where_a_network_has_several_layers(app, tmp_path):
    plan = replace(SMALL, proteins=15, mixed=1, cells=4, examples=1)
    path = make_run(tmp_path / "run", plan)
    test = app(path, view="accuracy")
    fine(test)
    assert CAPTION in text_of(test)
    models = header(path)["models"]
    for model in models:
        del model["network"]
    change_header(path, {"models": models})
    test = app(path, view="accuracy")
    fine(test)
    assert CAPTION not in text_of(test)
