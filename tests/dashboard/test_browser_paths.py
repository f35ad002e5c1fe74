"""Three readers' paths: one gene; two models; a group before a projector."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.dashboard.browsing import (
    address_of,
    at,
    choose_first,
    has_no_failure,
    is_accessible,
    opened,
    photograph,
    settle,
    wait_for_address,
)

Shot = Callable[[str], Path | None]
pytestmark = [pytest.mark.browser, pytest.mark.long]


@pytest.mark.parametrize(("size", "theme"), [("wide", "light"), ("phone", "dark")])
def test_a_biologist_with_one_gene(
    browser: Any, address: str, shot: Shot, size: str, theme: str
) -> None:
    """From the first page to one protein, its crops, one cell large, and a list of genes."""
    with opened(browser, address, size, theme) as (page, complaints):
        page.get_by_test_id("stPageLink").get_by_text("Look up your protein").click()
        page.wait_for_url(re.compile("proteins"))
        settle(page)
        box = page.get_by_role("combobox", name="Find a protein")
        box.click()
        page.keyboard.type("sim1-00")
        page.get_by_role("option").first.click()
        gene = wait_for_address(page, "protein").split(" (")[0]
        assert page.get_by_role("heading", name=gene, exact=True).count() == 1
        assert page.locator(".st-key-chart_protein_moves_0").count() == 1
        assert page.get_by_role("heading", name=f"Cells of {gene}").count() == 1
        page.get_by_text(f"All stored cells of {gene}").click()
        page.wait_for_url(re.compile("crops"))
        settle(page)
        assert address_of(page)["gene"] == gene
        choose_first(page, page.get_by_role("combobox", name="One cell, enlarged"))
        wait_for_address(page, "cell")
        assert page.get_by_text("Every trial of the cell").count() == 1
        assert page.locator(".crops.gallery .pic").count() >= 5
        has_no_failure(page)
        is_accessible(page)
        photograph(page, shot(f"path_gene_{size}_{theme}"))
        assert not complaints


def test_a_list_of_genes_is_pasted_and_a_link_to_it_opens_it(browser: Any, address: str) -> None:
    with opened(browser, at(address, "proteins", genes="SIM1-001, sim1-002 nothere")) as (page, _):
        assert page.get_by_text("This run has no gene or ORF").count() == 1
        assert page.get_by_role("heading", name="Your list").count() == 1
        assert page.locator(".st-key-chart_listed_shifts_0").count() == 1
        box = page.get_by_role("textbox", name="Genes or ORFs", exact=True)
        box.fill("SIM1-003\nSIM1-004\nSIM1-005")
        page.keyboard.press("Control+Enter")
        settle(page)
        assert "3 proteins of this run chosen" in page.content()
        page.reload()
        settle(page)
        assert "3 proteins of this run chosen" in page.content()


def test_choosing_a_row_opens_that_protein(browser: Any, address: str) -> None:
    with opened(browser, at(address, "proteins")) as (page, complaints):
        table = page.locator('[data-testid="stDataFrame"]').first
        table.scroll_into_view_if_needed()
        table.click(position={"x": 18, "y": 52})
        chosen = wait_for_address(page, "protein").split(" (")[0]
        assert page.get_by_role("heading", name=chosen, exact=True).count() == 1
        assert not complaints


def test_a_person_comparing_models(browser: Any, address: str, shot: Shot) -> None:
    """A mark, a class, a bar, a square and a row each show the crops behind them."""
    with opened(browser, at(address, "accuracy", run="One")) as (page, complaints):
        first = page.locator(".st-key-chart_accuracy_by_condition_0 .scatterlayer .trace")
        first.nth(1).locator(".points path").nth(4).click(force=True)
        wait_for_address(page, "condition", "Masked".__eq__)
        assert address_of(page)["model"] == "Paired Cell Inpainting"

        for chart, spot, key in (
            ("accuracy_by_class", ".scatterlayer .points path", "class"),
            ("flips", ".barlayer .point path", "flip"),
            ("backgrounds_drop", ".scatterlayer .points path", "centre"),
        ):
            mark = page.locator(f".st-key-chart_{chart}_0 {spot}").nth(2)
            mark.scroll_into_view_if_needed()
            mark.click(force=True)
            wait_for_address(page, key)
        table = page.locator(".st-key-table_pairs")
        table.scroll_into_view_if_needed()
        table.click(position={"x": 18, "y": 52})
        pair = wait_for_address(page, "two", lambda value: " / " in value)
        assert page.locator(".crops.pairs").count() >= 3
        for place in pair.split(" / "):
            assert page.get_by_text(place, exact=True).count() > 0
        has_no_failure(page)
        is_accessible(page)
        photograph(page, shot("path_models"))
        link = page.url
        assert not complaints
    with opened(browser, link) as (page, complaints):
        assert address_of(page)["two"] == pair
        assert page.locator(".crops.pairs").count() >= 3
        assert not complaints


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_group_at_a_projector(browser: Any, address: str, shot: Shot, theme: str) -> None:
    """A figure is kept on two pages and shown on Present, with the keyboard."""
    with opened(browser, address, "wide", theme) as (page, complaints):
        page.get_by_role("button", name="Keep for presenting").first.click()
        wait_for_address(page, "keep")
        page.get_by_role("link", name="Accuracy").first.click()
        page.wait_for_url(re.compile("accuracy"))
        settle(page)
        page.get_by_role("button", name="Keep for presenting").last.click()
        wait_for_address(page, "keep", lambda value: "," in value)
        kept = address_of(page)["keep"]
        page.get_by_role("link", name="Present").first.click()
        page.wait_for_url(re.compile("present"))
        settle(page)
        assert address_of(page)["keep"] == kept
        before = page.locator('[data-testid="stMain"]').inner_text()
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(1000)
        settle(page)
        assert page.locator('[data-testid="stMain"]').inner_text() != before
        has_no_failure(page)
        is_accessible(page)
        photograph(page, shot(f"path_projector_{theme}"))
        assert not complaints


def test_the_published_results_lead_from_the_finding_to_the_pairs(
    browser: Any, paper_address: str
) -> None:
    with opened(browser, paper_address) as (page, complaints):
        page.get_by_text("Which classes depend on their surroundings?").click()
        page.wait_for_url(re.compile("accuracy"))
        settle(page)
        page.get_by_role("textbox", name="Find a class").fill("vacuole")
        page.keyboard.press("Enter")
        wait_for_address(page, "pair", "vacuole".__eq__)
        assert page.get_by_text("Pairs with “vacuole” in them").count() == 1
        assert page.get_by_text("Not in this run, since it holds a publication's").count() == 1
        has_no_failure(page)
        assert not complaints
