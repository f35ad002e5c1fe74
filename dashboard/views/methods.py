"""Methods: definitions, what was run on what, what was left out, and everything to take away."""

import functools
from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from compute.paper.table_1 import SPREAD
from compute.schema import (
    CALIBRATION_MEASURES,
    CONDITIONS,
    DOSES,
    DROP_PARTS,
    EFFECTS_IN_WORDS,
    FLIP_DIRECTIONS,
    PROBES,
    PROTOCOLS,
    STEPS,
    Condition,
    Effect,
    mask_origin,
)
from compute.statistics.config import ALPHA
from dashboard import cache, theme, wording
from dashboard.figures import crops
from dashboard.figures.tables import named
from dashboard.queries import accuracy, mosaic, provenance
from dashboard.queries.filters import AGGREGATIONS
from dashboard.render import strips
from dashboard.render.mosaic import arrange, composite
from dashboard.render.mosaic_picture import mosaic_png
from dashboard.state.shared import Shared, current
from dashboard.views import show

MIB = 2**20

EFFECT_TITLES = {Effect.DROP: "Drop", Effect.NET: "Net drop", Effect.GAP: "Background gap"}


def page() -> None:
    """Show the page."""
    shared = current()
    show.header("Methods", shared, "What was run, on what, with what, and what was left out.")
    _summary(shared)
    _definitions(shared)
    with show.guarded("The counts of trials"):
        _trials(shared)
    _models(shared)
    with show.guarded("The cells themselves"):
        _cells(shared)
    with show.guarded("What was left out"):
        _left_out(shared)
    _provenance(shared)
    with show.guarded("The tables"):
        _tables(shared)


def _summary(shared: Shared) -> None:
    meta = shared.run.meta
    store: Any = meta.get("store", {})
    counts: Any = store.get("counts", {})
    about = {
        "Crops": f"{store.get('size', '?')} × {store.get('size', '?')} pixels, "
        f"{', '.join(shared.run.channels) or 'unknown channels'}, {store.get('dtype', '?')}",
        "In the store": f"{counts.get('cells', 0):,} cells, {counts.get('usable', 0):,} usable; "
        f"{counts.get('windows', 0):,} windows without cells",
    }
    kind = "simulated" if shared.run.simulated else "imaged"
    if shared.published:
        kind, about = "none: the numbers are those of a publication", {}
    rows = {
        "Run": f"{shared.run.title}, begun {_when(meta.get('created'))}, "
        + (f"finished {_when(meta.get('finished'))}" if shared.run.complete else "not finished"),
        "Fingerprint": str(meta.get("fingerprint", "none until it is finished")),
        "Cells": kind,
        ("Read from" if shared.published else "Crop store"): f"{store.get('path', 'unknown')} "
        f"({store.get('fingerprint', 'unknown')})",
        **about,
        "Device": ", ".join(
            f"{name} {value}"
            for name, value in provenance.flat({"": meta.get("device", "unknown")})
        ).strip(),
    }
    frame = pd.DataFrame({"value": rows})
    frame.index.name = "What"
    st.table(frame.map(wording.plain_name), hide_header=True)
    if meta.get("command"):
        # Long paths do not fit into a table's cell; here they are wrapped, and can be copied.
        st.markdown("**Command**")
        st.code(str(meta["command"]), language=None, wrap_lines=True)


def _cells(shared: Shared) -> None:
    """Show cells of the store as they were imported, with their masks."""
    if shared.published or not shared.run.complete:
        return
    st.subheader("The cells themselves", anchor=False)
    origin = mask_origin(_source(shared))
    if origin:
        st.markdown(wording.plain_name(origin))
    if not shared.run.has("mosaic"):
        st.markdown(
            "This run was made before runs kept pictures for this place; "
            "`bystander check STORE --pictures FOLDER` draws them from its crop store."
        )
        return
    if cache.ask(shared.run, mosaic.count) == 0:
        st.markdown(
            "This run was made without pictures (`--examples 0`); "
            "`bystander check STORE --pictures FOLDER` draws them from its crop store."
        )
        return
    _mosaic(shared)


@st.fragment
def _mosaic(shared: Shared) -> None:
    channels = shared.run.channels
    together = composite(channels, _source(shared).get("marker"))
    choices: dict[str, tuple[int, ...]] = {name: (number,) for number, name in enumerate(channels)}
    if len(channels) > 1:
        choices = {" + ".join(channels[c] for c in together): together, **choices}
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        chosen = st.selectbox("Channels", list(choices), key="mosaic_channels", width=220)
        outlines = st.toggle("Outlines of the masks", value=True, key="mosaic_outlines")
    shown = choices[chosen]
    drawn, caption = cache.mosaic_of(shared.run, shown, outlines=outlines)
    # Above the tiles: it says what to look for.
    show.caption(caption, shared)
    st.html(drawn)
    st.download_button(
        "Download as PNG",
        functools.partial(_mosaic_file, shared, shown, outlines),
        "mosaic.png",
        "image/png",
        key="save_mosaic_png",
        on_click="ignore",
        icon=":material/image:",
        type="tertiary",
    )


def _mosaic_file(shared: Shared, shown: tuple[int, ...], outlines: bool) -> bytes:
    arranged = arrange(mosaic.tiles(shared.run), shared.run.channels, shown)
    return mosaic_png(arranged, outlines=outlines)


def _source(shared: Shared) -> dict[str, Any]:
    """Return what the store says of its source."""
    store: Any = shared.run.meta.get("store") or {}
    return dict(store.get("source") or {})


def _when(text: Any) -> str:
    return str(text or "unknown").replace("T", " ").removesuffix("+00:00")


def _definitions(shared: Shared) -> None:
    st.subheader("Definitions", anchor=False)
    with show.guarded("Pictures of the conditions"):
        _pictures(shared)
    frame = pd.DataFrame(
        [
            {
                "condition": theme.condition_title(name),
                "definition": CONDITIONS[Condition(name)].definition,
                "paper": CONDITIONS[Condition(name)].paper_key or "–",
                "here": "yes" if name in shared.run.conditions else "no",
            }
            for name in theme.in_order(str(c) for c in Condition)
        ]
    )
    show.data(
        frame,
        shared,
        "conditions",
        {
            "condition": st.column_config.TextColumn("Condition", width="small"),
            "definition": st.column_config.TextColumn("What stands behind the cell", width=720),
            "paper": st.column_config.TextColumn("Paper's key", width="small"),
            "here": st.column_config.TextColumn("In this run", width="small"),
        },
        "The conditions of Bystander.",
        height="auto",
    )
    words = [
        *(f"**Probe, {name}**: {text}." for name, text in PROTOCOLS.items()),
        *(
            f"**Task, {name}**: {spec.measure} in {spec.definition}."
            for name, spec in PROBES.items()
        ),
        *(f"**Average, {name}**: {text}." for name, text in AGGREGATIONS.items()),
        *(f"**{EFFECT_TITLES[effect]}**: {text}." for effect, text in EFFECTS_IN_WORDS.items()),
        "**Shift**: how far a protein's distribution over localizations under a condition is from "
        "its unaltered one, as total variation (the share that moved) and Jensen–Shannon "
        f"divergence (base 2). *Substantial*: q ≤ {ALPHA:g} (Benjamini–Hochberg within model and "
        "condition) and total variation at or above the threshold.",
        *(f"**Answer {name}**: {text}." for name, text in FLIP_DIRECTIONS.items()),
        *(f"**Part of a drop, {name}**: {text}." for name, text in DROP_PARTS.items()),
        *(
            f"**Step of a drop, {spec.title.lower()}**: {spec.definition}."
            for spec in STEPS.values()
        ),
        *(f"**Dose, {name}**: {text}." for name, text in DOSES.items()),
        *(f"**Calibration, {name}**: {text}." for name, text in CALIBRATION_MEASURES.items()),
        "**Intervals**: "
        + (
            f"± {SPREAD}, as in the paper."
            if shared.published
            else f"{wording.level()}, bootstrap over whole proteins within class; over cells "
            "where there are fewer than five proteins, and said so. Those of accuracies, drops, "
            "gaps, steps and flips also count that cells share donors. **p**: sign flips of whole "
            "proteins, Holm over models and conditions. **Robust**: an equivalence test (two "
            "one-sided tests) puts the drop within the stated margin; a large p-value alone "
            "never does."
        ),
    ]
    with st.expander("Words", icon=":material/dictionary:"):
        st.markdown("\n".join(f"- {word}" for word in words))
        st.markdown(
            "`docs/method.md` in the source says how every number is made, and with which "
            "simulations it was checked how often intervals hold the truth (`docs/coverage.csv`)."
        )


def _pictures(shared: Shared) -> None:
    """Show one cell of the run under every condition, with the definitions."""
    if shared.published or not shared.run.has("examples"):
        return
    cell = crops.chosen_cell(show.asked(crops.SWAP, shared))
    if cell is None:
        return
    shown = [name for name in theme.in_order(shared.run.conditions) if name != "conflicting"]
    request = strips.Request(
        (cell,),
        tuple(shown),
        (),
        shared.protocol,
        outline=True,
        side=128,
        dark=shared.dark,
        predictions=False,
    )
    st.html(cache.strip(shared.run, request, layout="defined"))
    show.caption(
        "One cell of this run under each condition, true pixels, its mask outlined. “Conflicting” "
        "has no crops of its own: in a pair test it reads those of “different class”.",
        shared,
    )


def _trials(shared: Shared) -> None:
    if shared.published:
        return
    rows = cache.ask(shared.run, provenance.trials_by_condition)
    st.subheader("Trials", anchor=False)
    show.data(
        named(rows),
        shared,
        "trials_by_condition",
        {
            "condition": show.text("Condition"),
            "trials": show.number("Trials", "%d"),
            "cells": show.number("Cells", "%d"),
            "flagged": show.number("With a quality flag", "%d"),
        },
        f"{wording.count(rows['trials'].sum(), 'trial')} in all, each one synthetic crop: a cell, "
        "a condition, a donor, a repeat.",
    )
    made = provenance.folds_and_donors(shared.run.meta)
    seen = ""
    if shared.run.has("accuracy"):
        seen = wording.donors_seen(cache.ask(shared.run, accuracy.donors_seen, shared.accuracy))
    said = [*made, *([seen] if seen else [])]
    if said:
        st.markdown(f"**Folds and donors.** {wording.plain_name(' '.join(said))}")


def _models(shared: Shared) -> None:
    st.subheader("Models", anchor=False)
    for model in shared.run.meta.get("models", []):
        title = theme.model_title(str(model.get("name", "?")))
        with st.expander(wording.plain_name(title), icon=":material/neurology:"):
            rows = [
                ("weights (hash)", str(model.get("hash", "unknown"))),
                *(
                    [("embedding", f"{model['dimension']} numbers a crop")]
                    if model.get("dimension")
                    else []
                ),
                *([("reads", str(model["reads"]))] if model.get("reads") else []),
                *([("own answer", str(model["head"]))] if model.get("head") else []),
                *_left_unanswered(shared, model),
                *provenance.flat(model.get("card") or {}),
            ]
            _settings(rows)


def _left_unanswered(shared: Shared, model: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Say how much probability a model's head gave to classes that are none of the run's."""
    shares = shared.run.meta.get("checks", {}).get("own_left_out", {})
    share = shares.get(model.get("name"))
    if share is None:
        return []
    words = f"{wording.percent(share)} of probability, mean over unaltered crops"
    return [("left out of its own answer", words)]


def _settings(rows: list[tuple[str, str]]) -> None:
    frame = pd.DataFrame(rows, columns=["Setting", "Value"]).set_index("Setting")
    st.table(frame.map(wording.plain_name), hide_header=True)


def _left_out(shared: Shared) -> None:
    st.subheader("What was left out, and why", anchor=False)
    rows = provenance.rejections(shared.run.meta)
    if rows.empty:
        st.markdown("Nothing was rejected.")
    else:
        show.data(
            rows,
            shared,
            "rejections",
            {
                "stage": show.text("Stage"),
                "reason": st.column_config.TextColumn("Reason", width="large"),
                "count": show.number("How many", "%d"),
                "examples": st.column_config.TextColumn("For example", width="medium"),
            },
            f"{wording.count(rows['count'].sum(), 'rejection')} for "
            f"{wording.count(len(rows), 'reason')}.",
        )
    flags = cache.ask(shared.run, provenance.flags)
    if len(flags):
        show.data(
            flags,
            shared,
            "flags",
            {
                "of": show.text("Of"),
                "flag": show.text("Quality flag"),
                "meaning": st.column_config.TextColumn("Meaning", width="large"),
                "count": show.number("How many", "%d"),
                "total": show.number("of", "%d"),
            },
            "Cells with no mask, off centre or cut by the border are left out of trials; the "
            "other flags are warnings.",
        )


def _provenance(shared: Shared) -> None:
    st.subheader("Settings, versions and times", anchor=False)
    meta = shared.run.meta
    for title, content, icon in (
        ("Configuration", meta.get("configuration") or meta.get("header"), ":material/tune:"),
        ("Source of the cells", meta.get("store", {}).get("source"), ":material/input:"),
        ("Versions", meta.get("versions"), ":material/inventory:"),
        ("Counts", meta.get("counts"), ":material/tag:"),
    ):
        if content:
            with st.expander(title, icon=icon):
                _settings(provenance.flat(content))
    times: Any = meta.get("timings") or {}
    if times:
        with st.expander("Times", icon=":material/timer:"):
            _settings([(str(name), f"{float(value):,.1f} s") for name, value in times.items()])


def _tables(shared: Shared) -> None:
    st.subheader("Take the tables with you", anchor=False)
    rows = cache.ask(shared.run, provenance.contents)
    st.markdown(
        "Parquet opens in Python, R and DuckDB; CSV in a spreadsheet. Files are made when you ask "
        "for them."
    )
    for row in wording.records(rows):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown(
                f"**{row.table}** · {wording.count(row.rows, 'row')} · {row.bytes / MIB:.1f} MB",
                width=300,
            )
            if row.bytes > provenance.LARGEST:
                st.markdown("Large: take it from the run's folder.")
                continue
            _save(shared, row.table, "parquet")
            if row.table not in provenance.NO_CSV:
                _save(shared, row.table, "csv")


def _save(shared: Shared, table: str, kind: str) -> None:
    make = provenance.as_parquet if kind == "parquet" else provenance.as_csv
    st.download_button(
        "Parquet" if kind == "parquet" else "CSV",
        functools.partial(make, shared.run, table),
        f"{table}.{kind}",
        "application/vnd.apache.parquet" if kind == "parquet" else "text/csv",
        key=f"save_{table}_{kind}",
        on_click="ignore",
        help=f"{table} as {kind}",
    )


if __name__ == "__main__":
    page()
