"""Figures as slides, and slides as HTML, PDF and PowerPoint."""

import base64
import hashlib
import io
import re
import shutil
import subprocess
import sys
import warnings
import zipfile
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pptx import Presentation
from pptx.util import Pt
from typer.testing import CliRunner

from compute.cli.main import app as command_line
from compute.errors import BystanderError, UsageError
from compute.shipped import DEMO_RUN
from dashboard import theme
from dashboard.charts.description import Axis, Bars, Chart, Heat, Panel, Points, Rule
from dashboard.figures import keys
from dashboard.figures.keys import FigureKey
from dashboard.figures.request import Filters
from dashboard.queries import accuracy
from dashboard.queries.comparable_runs import directly
from dashboard.render import figures, fonts, panels
from dashboard.report import archive, deck, files, html, native_charts, pdf, powerpoint
from dashboard.report.write import write_report
from dashboard.theme import BLUES, TEXT, Ink
from tests.dashboard.opening import SMALL, opened

NASTY = "<script>alert(1)</script>&amp;'\";--"
FEW = replace(SMALL, proteins=15, mixed=1, cells=4, examples=1)


@pytest.fixture(scope="module")
def demo():
    return opened(DEMO_RUN)


@pytest.fixture(scope="module")
def made_deck(demo):
    chosen = keys.read("finding,accuracy:published=yes,gap,by_class,histogram,swap,grid")[0]
    return deck.make(demo, chosen, directly)


@pytest.fixture(scope="module")
def small_deck(demo):
    return deck.make(demo, keys.read("gap,swap")[0], directly)


@pytest.fixture(scope="module")
def show(made_deck):
    return Presentation(io.BytesIO(powerpoint.render(made_deck)))


def test_a_deck_without_any_figure_is_an_error(run):
    with pytest.raises(BystanderError, match="none of the figures"):
        deck.make(run, keys.read("nothing,at_all")[0], directly)


def test_the_usual_figures_leave_out_what_a_run_has_not(made):
    bare = opened(made(replace(FEW, examples=0)))
    assert "swap" not in [key.name for key in deck.usual_figures(Filters.usual(bare), directly)]


class Page(HTMLParser):
    """What a page loads, and its scripts."""

    def __init__(self):
        super().__init__()
        self.addresses, self.handlers, self.scripts, self.styles = [], [], [], []
        self.ids, self.inside = [], None

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name in ("src", "href", "action", "data", "poster", "xlink:href"):
                self.addresses.append(value)
            if name.startswith("on") or name == "style":
                self.handlers.append((tag, name))
            if name == "id":
                self.ids.append(value)
        self.inside = tag if tag in ("script", "style") else None

    def handle_data(self, data):
        if self.inside == "script":
            self.scripts.append(data)
        if self.inside == "style":
            self.styles.append(data)

    def handle_endtag(self, tag):
        self.inside = None


def test_the_page_loads_nothing_and_allows_only_its_own_script(made_deck):
    content = html.render(made_deck).decode()
    page = Page()
    page.feed(content)
    assert all(address.startswith(("data:image/", "#")) for address in page.addresses)
    assert not page.handlers
    assert len(page.scripts) == len(page.styles) == 1
    assert len(page.ids) == len(set(page.ids))
    assert {a[1:] for a in page.addresses if a.startswith("#")} <= set(page.ids)
    policy = re.search(r'Security-Policy" content="([^"]+)"', content)[1]
    for text in (page.scripts[0], page.styles[0]):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert "unsafe" not in policy
    assert set(re.findall(r"https?://[^\"' )<]+", content)) == {"http://www.w3.org/2000/svg"}


def test_names_are_never_more_than_names(made):
    run = opened(made(replace(FEW, name=NASTY, odd_names=True, models=("pifia",))))
    gene = "α-tubulin <b>'\";--"
    chosen = [
        FigureKey("protein", (("protein", gene),)),
        FigureKey("protein_conditions", (("protein", "タンパク質"),)),
        FigureKey("swap"),
    ]
    found = deck.make(run, chosen, directly)
    content = html.render(found).decode()
    page = Page()
    page.feed(content)
    assert len(page.scripts) == 1
    assert "alert" not in page.scripts[0]
    assert "<b>" not in content
    assert "&lt;b&gt;" in content
    assert "タンパク質" in content
    slides = Presentation(io.BytesIO(powerpoint.render(found))).slides
    assert NASTY in slides[0].shapes.title.text_frame.text
    assert any(gene in slide.shapes.title.text_frame.text for slide in slides)
    assert pdf.render(found).startswith(b"%PDF")


@pytest.mark.parametrize("name", ["a\0b\x1b[31m\x07\ufffe\u202e", "x" * 20_000, "\ud800"])
@pytest.mark.parametrize("kind", files.FORMATS)
def test_odd_and_long_names_make_a_report(small_deck, name, kind):
    slide = replace(small_deck.slides[0], title=name)
    odd = replace(small_deck, title=name, source=name, slides=(slide,), left_out=(name,))
    assert len(files.render(odd, kind)) > 100


def test_the_same_deck_is_the_same_bytes(small_deck):
    for kind in files.FORMATS:
        assert files.render(small_deck, kind) == files.render(small_deck, kind)
    with pytest.raises(UsageError, match="pptx"):
        files.render(small_deck, "ppt")


def test_office_files_hold_no_date_but_the_run_s(small_deck):
    content = powerpoint.render(small_deck)
    inner = 0
    for name in zipfile.ZipFile(io.BytesIO(content)).namelist():
        entry = zipfile.ZipFile(io.BytesIO(content)).getinfo(name)
        assert entry.date_time == archive.FIRST_DAY
        if name.endswith(".xlsx"):
            inner += 1
            book = zipfile.ZipFile(io.BytesIO(zipfile.ZipFile(io.BytesIO(content)).read(name)))
            core = book.read("docProps/core.xml").decode()
            assert small_deck.date[:10] in core
            assert {info.date_time for info in book.infolist()} == {archive.FIRST_DAY}
    assert inner == 1


def test_charts_in_powerpoint_hold_the_numbers(show, demo):
    chart = next(
        shape.chart
        for slide in show.slides
        if slide.shapes.title.text_frame.text.startswith("Accuracy falls most")
        for shape in slide.shapes
        if shape.has_chart
    )
    usual = Filters.usual(demo)
    chosen = accuracy.AccuracyFilter(models=usual.models, conditions=usual.conditions)
    stored = accuracy.overall(demo, chosen).set_index(["model", "condition"])
    series = {one.name: one for one in chart.plots[0].series}
    assert list(chart.plots[0].categories)[:3] == ["Unaltered", "Same class", "Different class"]
    for place, condition in enumerate(usual.conditions):
        row = stored.loc[("deeploc", condition)]
        assert series["DeepLoc"].values[place] == pytest.approx(row["estimate"])
    bars = series["DeepLoc"]._element.findall(".//{*}errBars/{*}plus//{*}pt")
    assert len(bars) == len(usual.conditions)
    row = stored.loc[("deeploc", usual.conditions[0])]
    assert float(bars[0][0].text) == pytest.approx(row["ci_high"] - row["estimate"])


def test_turned_bars_keep_their_names_and_intervals(show, demo):
    chart = next(
        shape.chart
        for slide in show.slides
        if "background gap" in slide.shapes.title.text_frame.text
        for shape in slide.shapes
        if shape.has_chart
    )
    usual = Filters.usual(demo)
    chosen = accuracy.AccuracyFilter(models=usual.models, conditions=usual.conditions)
    stored = accuracy.gaps(demo, chosen)
    drawn = dict(zip(chart.plots[0].categories, chart.plots[0].series[0].values, strict=True))
    assert drawn == pytest.approx(
        {theme.model_title(row.model): 100 * row.estimate for row in stored.itertuples()}
    )
    minus = chart.plots[0].series[0]._element.findall(".//{*}errBars/{*}minus//{*}v")
    down = [100 * (row.estimate - row.ci_low) for row in stored.itertuples()]
    assert [float(one.text) for one in minus] == pytest.approx(down[::-1])


HOSTILE = ("=1+1", "+2", "-3", "@SUM(A1)", "{=4}", "\t=5", "a\0b\ufffec\x1b", "\ud800")


@pytest.mark.parametrize("kind", ["lines", "scatter", "bars"])
def test_no_name_is_a_formula_in_the_workbook_of_a_chart(kind):
    at = tuple(range(len(HOSTILE)))
    values, names = tuple(map(float, at)), Axis(categories=HOSTILE)
    if kind == "bars":
        layers = tuple(Bars(name, at, values, TEXT) for name in HOSTILE)
    else:
        layers = tuple(Points(name, at, values, TEXT, text=HOSTILE) for name in HOSTILE)
    layers += (Rule("y", 0.5, "=6"),) if kind != "bars" else ()
    across = Axis("\0=7") if kind == "scatter" else names
    panel = Panel(across, Axis("=8", range=(0, 9)), layers, "=9")
    presentation = Presentation()
    slide = presentation.slides.add_slide(presentation.slide_layouts[6])
    shape = native_charts.add(slide.shapes, panel, (0, 0, 5_000_000, 5_000_000), 14)
    book = zipfile.ZipFile(io.BytesIO(shape.chart.part.chart_workbook.xlsx_part.blob))
    assert b"<f" not in book.read("xl/worksheets/sheet1.xml")
    assert b"<t>'=1+1</t>" in book.read("xl/sharedStrings.xml")
    presentation.save(io.BytesIO())


def test_slides_have_titles_notes_and_words_for_pictures(show, made_deck):
    assert len(show.slides) == len(made_deck.slides) + 2
    for slide, described in zip(list(show.slides)[1:-1], made_deck.slides, strict=True):
        assert slide.shapes.title.text_frame.text == described.title
        notes = slide.notes_slide.notes_text_frame.text
        assert described.caption in notes
        assert "ee5204" in notes or made_deck.provenance[1][1] in notes
        for shape in slide.shapes:
            if shape.has_chart or shape.shape_type == 13:
                assert shape._element.xpath(".//p:cNvPr")[0].get("descr")
    drawings = [
        r.target_part for s in show.slides for r in s.part.rels.values() if not r.is_external
    ]
    assert any(part.content_type == "image/svg+xml" for part in drawings)


def test_nothing_on_a_slide_is_below_twelve_points(show, made_deck):
    sizes = [
        run.font.size
        for slide in show.slides
        for shape in slide.shapes
        if shape.has_text_frame
        for paragraph in shape.text_frame.paragraphs
        for run in paragraph.runs
    ]
    sizes += [
        shape.chart.font.size for slide in show.slides for shape in slide.shapes if shape.has_chart
    ]
    assert min(sizes) >= Pt(12)
    for slide in made_deck.slides:
        if slide.chart is None:
            continue
        look = figures.slide_look(slide.chart)
        width, height = html.PANEL[min(3, len(slide.chart.panels))]
        one = replace(slide.chart, panels=slide.chart.panels[:1])
        drawn = figures.panels(one, "svg", width, height, look).decode()
        found = [float(size) for size in re.findall(r"font(?:-size)?: (?:\d+ )?([\d.]+)px", drawn)]
        share = 1780 / min(3, len(slide.chart.panels)) / (72 * width)  # pixels a point, 1920 wide
        assert found
        assert min(found) * share >= 24 - 0.5


def test_the_pdf_has_a_page_for_every_slide(made_deck):
    content = pdf.render(made_deck)
    pages = len(re.findall(rb"/Type /Page\b(?!s)", content))
    assert pages == len(made_deck.slides) + 2
    assert b"CreationDate" not in content


@pytest.mark.long
def test_the_presentation_opens_in_libreoffice(made_deck, tmp_path):
    office = shutil.which("soffice")
    if office is None:
        pytest.skip("no LibreOffice on this machine (apt-get install libreoffice-impress)")
    (tmp_path / "deck.pptx").write_bytes(powerpoint.render(made_deck))
    profile = f"-env:UserInstallation=file://{tmp_path}/profile"
    subprocess.run(
        [office, "--headless", profile, "--convert-to", "pdf", "--outdir", str(tmp_path),
         str(tmp_path / "deck.pptx")],
        check=True, capture_output=True, timeout=240,
    )  # fmt: skip
    content = (tmp_path / "deck.pdf").read_bytes()
    assert len(re.findall(rb"/Type\s*/Page\b(?!s)", content)) == len(made_deck.slides) + 2


def odd_chart(name: str) -> Chart:
    layer = Points("a series", (0, 1), (0.2, 0.4), TEXT, text=(name, ""))
    panel = Panel(Axis("x"), Axis("y", ("one", "two")), (layer,), name)
    return Chart("odd", f"Title {name}", "Caption.", (panel,))


def test_letters_without_a_font_are_said_and_never_a_box(monkeypatch):
    monkeypatch.setattr(fonts, "_font_with", lambda letter: None)
    assert fonts.drawable("α-tubulin") == "α-tubulin"
    assert fonts.drawable("gene タン!") == "gene ⟨30BF 30F3⟩!"
    assert fonts.drawable("タンパク質") == "⟨30BF 30F3 30D1 …⟩"
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of every empty box
        for kind in ("png", "pdf"):
            assert figures.render(odd_chart("タンパク質"), kind)
    assert fonts.NOTE in figures.letters_drawn(odd_chart("タ")).caption
    assert figures.letters_drawn(odd_chart("α")) == odd_chart("α")
    assert "タンパク質" in figures.render(odd_chart("タンパク質"), "svg").decode()


def test_a_font_that_has_the_letters_is_taken(monkeypatch):
    monkeypatch.setattr(fonts, "_font_with", lambda letter: "DejaVu Serif")
    assert fonts.families(["タ"]) == ["DejaVu Sans", "DejaVu Serif"]
    assert fonts.families(["ascii, Ωμέγα"]) == ["DejaVu Sans"]
    assert fonts.drawable("タ") == "タ"


def test_stand_ins_name_every_ink_once():
    swatches = panels.Swatches()
    inks = [Ink("#000000", "#ffffff"), Ink("#000000", "#eeeeee"), Ink("#000000", "#ffffff")]
    colours = [swatches(ink) for ink in inks]
    assert colours[0] == colours[2] != colours[1]
    assert list(swatches.found.values()) == inks[:2]


@given(st.floats(0, 1))
def test_numbers_in_squares_stand_out(share):
    behind = panels.along(BLUES, share)
    text = panels.clearest(behind)
    for dark in (False, True):
        assert panels.contrast(text.on(dark), behind.on(dark)) >= 4.5


def test_a_heat_map_writes_its_numbers_only_where_they_fit():
    row = tuple(i / 40 for i in range(40))
    heat = Heat((row,), 0, 1, BLUES, "Share, percent")
    names = tuple(f"class {i}" for i in range(40))
    chart = Chart("h", "t", "c", (Panel(Axis("", names), Axis("", ("a",)), (heat,)),))
    narrow = figures.panels(chart, "svg", 4, 3, figures.slide_look(chart)).decode()
    wide = figures.panels(chart, "svg", 40, 3, figures.slide_look(chart)).decode()
    assert "Share, percent: pale 0, strong 100" in narrow
    assert "Share, percent" in wide
    assert ">50<" in wide
    assert ">50<" not in narrow


def told(*words):
    return CliRunner().invoke(command_line, ["report", *map(str, words)])


@pytest.mark.parametrize("kind", files.FORMATS)
def test_the_command_writes_every_kind(run_path, tmp_path, kind):
    target = tmp_path / f"out.{kind}"
    done = told(run_path, "--out", target, "--figures", "accuracy,gap")
    assert done.exit_code == 0, done.output
    assert "2 figures" in done.stdout
    begins = {"html": b"<!do", "pdf": b"%PDF", "pptx": b"PK\x03\x04"}
    assert target.read_bytes().startswith(begins.get(kind, b""))


def test_the_command_refuses_what_it_cannot_make(run_path, tmp_path):
    for words, said in (
        ((run_path, "--out", tmp_path / "a.doc"), "does not end in"),
        (
            (run_path, "--out", tmp_path / "a.pdf", "--figures", "gap,gapp"),
            "Unknown figure 'gapp'. Did you",
        ),
        (
            (run_path, "--out", tmp_path / "a.pdf", "--figures", "gap,gap:condition=no"),
            "1 of 2 figures",
        ),
        ((tmp_path / "none",), "No such run"),
    ):
        done = told(*words)
        assert isinstance(done.exception, BystanderError)
        assert said in str(done.exception)
    assert not list(tmp_path.glob("a.*"))


def test_reports_need_no_streamlit():
    code = (
        "import sys, importlib, pkgutil, dashboard.report as room, compute.cli.reports\n"
        "for m in pkgutil.walk_packages(room.__path__, 'dashboard.report.'):\n"
        "    importlib.import_module(m.name)\n"
        "print([name for name in ('streamlit', 'torch', 'plotly') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_unknown_figures_are_told_together_with_what_there_is(tmp_path):
    """Before the run is opened: there is none."""
    with pytest.raises(UsageError) as caught:
        write_report(tmp_path / "none", tmp_path / "out.html", "acuracy,nosuch,gap")
    assert caught.value.problem == (
        "Unknown figure 'acuracy'. Did you mean 'accuracy'? Unknown figure 'nosuch'."
    )
    assert {"accuracy", "gap", "by_class"} <= set(
        caught.value.remedy.removeprefix("Allowed: ").rstrip(".").split(", ")
    )


def test_a_wrong_parameter_is_told_with_what_is_allowed(tmp_path):
    with pytest.raises(BystanderError, match=r"'maskd'\. Did you mean 'masked'\? Allowed: same, "):
        write_report(DEMO_RUN, tmp_path / "out.html", "by_class:condition=maskd")
