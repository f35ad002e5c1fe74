"""Make the documentation site (`make docs`): pages, the tour run anew, the reference, links.

`out/pages` becomes a copy of every page with the folders of this repository, so the links between
them hold in both places; Zensical makes `out/site` of it. Nothing is loaded from elsewhere.
"""

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from itertools import groupby
from pathlib import Path
from urllib.parse import unquote, urlsplit

import compute
import dashboard

ROOT = Path(__file__).resolve().parent.parent
PAGES, SITE = ROOT / "out" / "pages", ROOT / "out" / "site"

COPIED = (
    "*.md", "LICENSE", "CITATION.cff", "data/*.md", "docs/*.md", "docs/*.csv", "docs/figures/*",
    "docs/screenshots/*",
)  # fmt: skip

REFERENCE = {
    "Crop stores": (
        "compute.simulate", "compute.import_manifest", "compute.import_fields",
        "compute.import_crop_arrays",
        "compute.CuttingConfig", "compute.import_pifia", "compute.import_chong",
        "compute.import_paired_cell", "compute.CropStore", "compute.make_mosaic",
    ),
    "Models": (
        "compute.list_models", "compute.load_model", "compute.check_model", "compute.new_card",
        "compute.train",
        "compute.list_sources", "compute.fetch", "compute.convert",
    ),
    "Runs": (
        "compute.estimate", "compute.run", "compute.RunConfig", "compute.PlanConfig",
        "compute.EmbedConfig", "compute.BootstrapConfig", "compute.EngineConfig",
        "compute.RunDirectory", "compute.sensitivity", "compute.SensitivityConfig",
        "compute.try_remedies", "compute.apply_remedy", "compute.RemedyConfig",
        "compute.explain", "compute.explain_cell", "compute.ExplainConfig",
        "compute.export_summary", "compute.check", "compute.demo", "compute.published",
        "compute.export_trials", "compute.import_answers", "compute.BystanderError",
    ),
    "Results": (
        "dashboard.open_runs", "dashboard.compare", "dashboard.differences", "dashboard.draw",
        "dashboard.write_report", "dashboard.write_mosaic",
        "dashboard.write_explanation", "dashboard.launch",
    ),
    "Measurements": (
        "compute.measure_machine", "compute.measure_embedding", "compute.measure_growth",
        "compute.measure_statistics", "compute.measure_appearance", "compute.measure_fingerprint",
        "dashboard.measure_dashboard",
    ),
}  # fmt: skip
"""Headings of the reference, and the public names below each."""


def main() -> None:
    """Make the site; ends with an error where a page, an example or a link is wrong."""
    shutil.rmtree(PAGES, ignore_errors=True)
    shutil.rmtree(SITE, ignore_errors=True)
    for pattern in COPIED:
        for file in sorted(ROOT.glob(pattern)):
            target = PAGES / file.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            if file.suffix == ".md":
                target.write_text(prepared(file.read_text("utf-8")), "utf-8")
            else:
                shutil.copyfile(file, target)
    text, files = run_tour(ROOT / "docs" / "tour.py", ROOT / "out" / "tour")
    (PAGES / "docs" / "tour.md").write_text(prepared(text), "utf-8")
    for name, file in files.items():
        (PAGES / "docs" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, PAGES / "docs" / name)
    (PAGES / "docs" / "reference.md").write_text(reference(), "utf-8")
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    subprocess.run(command, cwd=ROOT, check=True)
    for page in SITE.rglob("*.html"):
        write_formulas(page)
    wrong = broken_links(SITE)
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"{len(list(SITE.rglob('*.html')))} pages in {SITE}, every link leads somewhere")


def prepared(text: str) -> str:
    """Link the public names that a page mentions to the reference, and the tour to its page."""
    names = "|".join(name for group in REFERENCE.values() for name in group).replace(".", r"\.")
    text = re.sub(rf"(?<!\[)`({names})`(?!\])", r"[`\1`][\1]", text)
    return re.sub(r"\]\(((?:docs/)?)tour\.py\)", r"](\1tour.md)", text)


def write_formulas(page: Path) -> None:
    """Write the formulas of a finished page as MathML, which browsers show without any script."""
    from latex2mathml.converter import convert as mathml

    text = page.read_text("utf-8")
    formula = r'<span class="arithmatex">\\\((.*?)\\\)</span>'
    written = re.sub(formula, lambda found: mathml(unescape(found[1])), text, flags=re.DOTALL)
    if written != text:
        page.write_text(written, "utf-8")


def reference() -> str:
    """Write the reference: a heading a group, and what is generated for every public name.

    Raises
    ------
    ValueError
        A public name stands in no group, or twice.
    """
    listed = [name for group in REFERENCE.values() for name in group]
    public = {f"{p.__name__}.{name}" for p in (compute, dashboard) for name in p.PUBLIC}
    if len(set(listed)) < len(listed) or set(listed) != public:
        raise ValueError(f"of the reference or of the packages only: {set(listed) ^ public}")
    lines = ["# Reference", "", "All public names, as docstrings describe them."]
    for title, names in REFERENCE.items():
        lines += ["", f"## {title}", *(f"\n::: {name}" for name in names)]
    return "\n".join(lines) + "\n"


def run_tour(script: Path, folder: Path) -> tuple[str, dict[str, Path]]:
    """Run a script block by block and write it as a page.

    Parameters
    ----------
    script
        Comments that stand by themselves are the page's text, what lies between is code; the
        module's docstring is the top.
    folder
        Where it runs; made anew.

    Returns
    -------
    str
        Markdown: text, code, and below the code what it printed.
    dict
        The pictures that the text shows, by their name in it.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    _, top, body = script.read_text("utf-8").split('"""', 2)
    title, _, below = top.partition(".\n")
    page, space, before = [f"# {title}", below.strip()], {"__name__": "tour"}, Path.cwd()
    os.chdir(folder)
    try:
        for is_text, block in blocks(body):
            if is_text:
                page.append(block)
                continue
            said = io.StringIO()
            with contextlib.redirect_stdout(said):
                exec(compile(block, str(script), "exec"), space)
            page.append(f"```python\n{block}\n```")
            if said.getvalue():
                page.append(f"```text\n{said.getvalue().rstrip()}\n```")
    finally:
        os.chdir(before)
    text = "\n\n".join(page) + "\n"
    shown = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text)
    return text, {name: folder / name for name in shown}


def blocks(script: str) -> Iterator[tuple[bool, str]]:
    """Part a script into comments that stand by themselves (true) and code (false)."""
    for is_text, lines in groupby(
        re.split(r"\n{2,}", script.strip()), lambda part: part.startswith("#")
    ):
        block = "\n\n".join(lines)
        yield is_text, re.sub(r"^# ?", "", block, flags=re.MULTILINE) if is_text else block


class Page(HTMLParser):
    """What a page links to, what it loads, and the places in it that others can link to."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.places: set[str] = set()
        self.feed(file.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take note of one element."""
        for name, value in attrs:
            if name in ("id", "name") and value:
                self.places.add(value)
            elif name == "src" and value:
                self.loads.append(value)
            elif name == "href" and value:
                rel = dict(attrs).get("rel") or ""
                loads = tag == "link" and rel not in ("canonical", "next", "prev")
                (self.loads if loads else self.links).append(value)


def broken_links(site: Path) -> list[str]:
    """Find links that lead nowhere within a site, and files that it would load from elsewhere."""
    pages = {file: Page(file) for file in sorted(site.rglob("*.html"))}
    wrong = []
    for file, page in pages.items():
        for link in (*page.links, *page.loads):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                if link in page.loads and parts.scheme != "data":
                    wrong.append(f"{file.relative_to(site)} loads {link} from elsewhere")
                continue
            path = unquote(parts.path)
            base = site if path.startswith("/") else file.parent
            target = (base / path.lstrip("/")).resolve() if path else file
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file():
                wrong.append(f"{file.relative_to(site)}: {link} leads to no file")
            elif target in pages and unquote(parts.fragment) not in {"", *pages[target].places}:
                wrong.append(f"{file.relative_to(site)}: {link} leads to no such place")
    return wrong


if __name__ == "__main__":
    main()
