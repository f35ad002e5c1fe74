"""The slider between before and after in a real Chromium: keyboard, mouse, pictures, console."""

import re
from typing import Any

import pytest

from tests.dashboard.browsing import has_no_failure, opened

pytestmark = [pytest.mark.browser, pytest.mark.long]


def edge(page: Any) -> float:
    """Return where the edge is drawn, as a share of the picture's width."""
    return float(
        page.evaluate("""() => {
            const [frame, edge] = ['.frame', '.edge'].map(
                part => document.querySelector('.before-after ' + part).getBoundingClientRect());
            return (edge.x + edge.width / 2 - frame.x) / frame.width;
        }""")
    )


def shown(page: Any) -> float:
    """Return how much of the upper picture is shown, from what cuts it."""
    cut = page.locator(".before-after img.before").evaluate("one => getComputedStyle(one).clipPath")
    found = re.fullmatch(r"inset\(0px ([\d.]+)% 0px 0px\)", cut)
    assert found, cut
    return 1 - float(found[1]) / 100


@pytest.mark.parametrize(("size", "theme"), [("wide", "light"), ("phone", "dark")])
def test_the_edge_between_before_and_after_is_moved(
    browser: Any, address: str, size: str, theme: str
) -> None:
    with opened(browser, address, size, theme) as (page, complaints):
        has_no_failure(page)
        frame, box = page.locator(".before-after .frame"), page.locator(".before-after")
        pictures = box.locator("img").evaluate_all(
            "all => all.map(one => [one.complete && one.naturalWidth > 0, one.src])"
        )
        assert [loaded for loaded, _ in pictures] == [True] * 3, "two pictures and an outline"
        assert len({source for _, source in pictures}) == 3

        moved = page.get_by_role("slider", name="as imaged")
        assert moved.count() == 1
        assert edge(page) == pytest.approx(0.5, abs=0.01)
        moved.focus()
        for _ in range(7):
            page.keyboard.press("ArrowRight")
        assert edge(page) == pytest.approx(0.57, abs=0.01)
        assert shown(page) == pytest.approx(0.57, abs=0.01)
        assert moved.get_attribute("aria-valuetext") == "57% as imaged"
        ends = []
        for key, share in (("Home", 0), ("End", 1)):
            page.keyboard.press(key)
            assert edge(page) == pytest.approx(share, abs=0.01)
            assert shown(page) == pytest.approx(share, abs=0.01)
            ends.append(frame.screenshot())
        assert ends[0] != ends[1]

        frame.scroll_into_view_if_needed()
        place = frame.bounding_box()
        at = [place["x"] + share * place["width"] for share in (0.8, 0.25)]
        middle = place["y"] + place["height"] / 2
        page.mouse.click(at[0], middle)
        assert edge(page) == pytest.approx(0.8, abs=0.02)
        page.mouse.move(at[0], middle)
        page.mouse.down()
        page.mouse.move(at[1], middle, steps=4)
        page.mouse.up()
        assert edge(page) == pytest.approx(0.25, abs=0.02)
        assert shown(page) == pytest.approx(0.25, abs=0.02)

        policy = page.request.get(address).headers["content-security-policy"]
        assert "frame-ancestors" in policy
        assert not complaints
