"""Every page of a run that kept no answers to single crops and no pictures: the shipped one."""

import pytest

from compute.shipped import COMPARED_RUN
from tests.dashboard.views.test_pages import VIEWS, fine


@pytest.mark.parametrize("view", VIEWS)
def test_a_run_without_answers_to_crops_is_shown_or_explained(app, view):
    fine(app(COMPARED_RUN, view=view))
