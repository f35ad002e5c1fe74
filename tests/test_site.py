"""The documentation site: the tour runs, pages are all reached, wrong links are found."""

import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def make_site(monkeypatch):
    """The script that makes the site."""
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    import make_site

    yield make_site
    sys.modules.pop("make_site")


def test_every_page_stands_in_the_navigation():
    project = tomllib.loads((ROOT / "zensical.toml").read_text("utf-8"))["project"]
    text = str(project["nav"])
    for page in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "data" / "README.md"):
        assert f"'{page.relative_to(ROOT)}'" in text, page
    assert project["theme"]["font"] is False


def test_what_makes_the_site_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    pinned = (ROOT / "constraints-docs.txt").read_text("utf-8").lower()
    for text in project["optional-dependencies"]["docs"]:
        assert f"{re.split('[<>=]', text)[0]}==" in pinned, text


def test_the_reference_has_every_public_name_once(make_site, monkeypatch):
    assert make_site.reference().count("\n::: ") == len(
        {**make_site.compute.PUBLIC, **make_site.dashboard.PUBLIC}
    )
    monkeypatch.setitem(make_site.compute.PUBLIC, "a_new_name", "compute.new")
    with pytest.raises(ValueError, match=r"compute\.a_new_name"):
        make_site.reference()


def test_public_names_link_to_the_reference_and_the_tour_to_its_page(make_site):
    text = "`compute.run` of `compute.runs`, [tour](docs/tour.py)"
    linked = "[`compute.run`][compute.run] of `compute.runs`, [tour](docs/tour.md)"
    assert make_site.prepared(text) == linked


def test_a_script_becomes_text_code_and_what_it_printed(make_site, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        '"""A title.\n\nBelow it.\n"""\n\nx = 2\n\n# # Heading\n#\n# Text.\n\n'
        "y = x\n\nprint(x + y)  # in code\n"
    )
    text, files = make_site.run_tour(script, tmp_path / "work")
    assert text == (
        "# A title\n\nBelow it.\n\n```python\nx = 2\n```\n\n# Heading\n\nText.\n\n"
        "```python\ny = x\n\nprint(x + y)  # in code\n```\n\n```text\n4\n```\n"
    )
    assert files == {}


def test_links_that_lead_nowhere_and_foreign_files_are_found(make_site, tmp_path):
    (tmp_path / "below").mkdir()
    (tmp_path / "index.html").write_text(
        '<link rel="stylesheet" href="style.css"><h1 id="top">T</h1><a href="below/page.html#here">'
        '<a href="#top"><a href="https://elsewhere.org"><img src="data:image/png;base64,AA==">'
    )
    (tmp_path / "style.css").write_text("")
    page = tmp_path / "below" / "page.html"
    page.write_text('<p id="here"><a href="../index.html#top"><a href="../">')
    assert make_site.broken_links(tmp_path) == []
    page.write_text(
        '<p><a href="../other.html"><a href="#gone"><script src="https://elsewhere.org/a.js"></script>'
        '<link rel="stylesheet" href="//fonts.elsewhere.org/a.css">'
    )
    assert len(make_site.broken_links(tmp_path)) == 5
    page.unlink()
    assert make_site.broken_links(tmp_path) == ["index.html: below/page.html#here leads to no file"]


@pytest.mark.long
def test_the_tour_goes_from_a_store_to_a_figure(make_site, tmp_path):
    text, files = make_site.run_tour(ROOT / "docs" / "tour.py", tmp_path / "tour")
    assert "192 cells, channels GFP, RFP" in text
    assert "finished: True" in text
    [figure] = files.values()
    drawn = figure.read_text("utf-8")
    for model in ("DeepLoc", "PIFiA"):
        assert model in drawn
