"""Widgets whose value lives in the address; an unknown value there is said and never used.

The address holds what the widget shows. Names as the files write them (a gene, an ORF, a
condition's key) are understood too, so that an address can be written by hand.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Literal

import streamlit as st

from dashboard import wording

LONGEST = 60
"""Characters of an unknown value that are repeated to the reader."""

MOST_PASTED = 5_000
"""Characters of a pasted list: an address of more would be refused by many servers."""

MOST_NAMED = 8
"""Unknown names of a list that are repeated to the reader."""

Format = Callable[[Any], str]


def choice(
    label: str,
    key: str,
    options: Sequence[str],
    *,
    default: str | None = None,
    shown: Format = str,
    names: Mapping[str, str] | None = None,
    segmented: bool = False,
    what: str = "",
    help_: str | None = None,
    placeholder: str | None = None,
    collapsed: bool = False,
    width: int | Literal["stretch"] = "stretch",
) -> str | None:
    """Let one of some options be chosen, and keep it in the address.

    Parameters
    ----------
    label
        What is chosen, in words.
    key
        Name in the address.
    options
        What can be chosen, at least one.
    default
        Chosen at first; None for nothing.
    shown
        Option to text.
    names
        Further names of options, lower case, as they may stand in an address.
    segmented
        Whether there are buttons side by side, one always chosen, instead of a list.
    what
        What kind of thing it is, for messages; the label where not given.

    Returns
    -------
    str or None
        The option.
    """
    _from_address(what or label.lower(), key, options, shown, names or {})
    _forget_unknown(key, options)
    visibility: Any = "collapsed" if collapsed else "visible"
    if segmented:
        picked = st.segmented_control(
            label,
            options,
            default=default or options[0],
            format_func=shown,
            key=key,
            bind="query-params",
            required=True,
            help=help_,
            label_visibility=visibility,
            wrap=True,
        )
        return picked if picked is not None else default or options[0]
    index = options.index(default) if default in options else None
    chosen: str | None = st.selectbox(
        label,
        options,
        index=index,
        format_func=shown,
        key=key,
        bind="query-params",
        help=help_,
        placeholder=placeholder,
        filter_mode="contains",
        width=width,
        label_visibility=visibility,
    )
    return chosen


def several(
    label: str,
    key: str,
    options: Sequence[str],
    *,
    default: Sequence[str] | None = None,
    shown: Format = str,
    help_: str | None = None,
) -> tuple[str, ...]:
    """Let some options be chosen, and keep them in the address.

    By default all are chosen at first; none means those at first again.
    """
    first = list(options if default is None else default)
    raw = st.query_params.get_all(key)
    allowed = {shown(option) for option in options}
    # An address may join them, as “GFP + RFP”.
    apart = [part.strip() for item in raw for part in item.split(" + ")]
    if apart != raw and set(apart) <= allowed and not set(raw) <= allowed:
        st.query_params[key] = apart
        st.rerun()
    for value in [item for item in raw if item not in allowed]:
        _say_unknown(label.lower(), value, {shown(option): option for option in options})
    if key in st.session_state and not set(st.session_state[key] or []) <= set(options):
        st.session_state[key] = [o for o in st.session_state[key] if o in options]
    picked = st.pills(
        label,
        options,
        selection_mode="multi",
        default=first,
        format_func=shown,
        key=key,
        bind="query-params",
        help=help_,
    )
    if not picked:
        usual = "all are" if default is None else f"{' and '.join(map(shown, first))} is"
        st.caption(f"None chosen: {usual} shown.")
    return tuple(option for option in options if option in (picked or first))


def search(label: str, key: str, placeholder: str) -> str:
    """Let a text be searched for, and keep it in the address; return it without outer spaces."""
    text = st.text_input(
        label, key=key, bind="query-params", placeholder=placeholder, max_chars=100
    )
    return (text or "").strip()


def pasted(
    label: str,
    key: str,
    options: Sequence[str],
    names: Mapping[str, str],
    *,
    what: str,
    help_: str | None = None,
) -> tuple[str, ...]:
    """Let a list of names be pasted in, and keep it in the address.

    Parameters
    ----------
    options
        What there is.
    names
        Further names of options, lower case.
    what
        What kind of thing is listed, for messages.

    Returns
    -------
    tuple of str
        Those that are known, in the order given, once each. Unknown ones are named with the
        nearest, which a button puts in their place.
    """
    text = st.text_area(
        label,
        key=key,
        bind="query-params",
        height=100,
        max_chars=MOST_PASTED,
        help=help_,
        placeholder="one a line, or with commas or spaces between",
    )
    written = list(dict.fromkeys(re.split(r"[\s,;]+", (text or "").strip())))
    known = {option.lower(): option for option in options} | dict(names)
    found = {word: known[word.lower()] for word in written if word.lower() in known}
    missing = [word for word in written if word and word not in found]
    if missing:
        _say_missing(missing, what, known, key, found)
    return tuple(dict.fromkeys(found.values()))


def _say_missing(
    missing: Sequence[str], what: str, known: Mapping[str, str], key: str, found: Mapping[str, str]
) -> None:
    nearest: dict[str, str] = {}
    for word in missing[:MOST_NAMED]:
        near = get_close_matches(word[:LONGEST].lower(), list(known), n=1, cutoff=0.5)
        if near:
            nearest[word] = known[near[0]]
    each = [
        f"“{wording.plain_name(word[:LONGEST])}”"
        + (f" (nearest: **{wording.plain_name(nearest[word])}**)" if word in nearest else "")
        for word in missing[:MOST_NAMED]
    ]
    more = f" and {len(missing) - MOST_NAMED:,} more" if len(missing) > MOST_NAMED else ""
    st.warning(f"This run has no {what} {', '.join(each)}{more}.", icon=":material/person_search:")
    if nearest:
        fixed = "\n".join(dict.fromkeys([*found.values(), *nearest.values()]))
        st.button(
            "Take the nearest instead",
            key=f"{key}_nearest",
            on_click=lambda: st.session_state.update({key: fixed}),
        )


def _from_address(
    what: str, key: str, options: Sequence[str], shown: Format, names: Mapping[str, str]
) -> None:
    """Understand a name that the widget itself would refuse, or say that it is unknown."""
    raw = st.query_params.get(key)
    if raw is None or key in st.session_state:
        return
    texts = {shown(option): option for option in options}
    if raw in texts:
        return
    known = {option.lower(): option for option in options}
    known |= {text.lower(): option for text, option in texts.items()}
    known |= {name.lower(): option for name, option in names.items()}
    hit = known.get(raw[:200].lower())
    if hit is not None:
        # Put as the widget writes it, before the widget is there, so that the address keeps it.
        st.query_params[key] = shown(hit)
        st.rerun()
    _say_unknown(what, raw, known, key)


def _say_unknown(what: str, value: str, known: Mapping[str, str], key: str = "") -> None:
    """Say that a value is unknown, and offer the nearest; `known` leads from names to options."""
    named = {name.lower(): option for name, option in known.items()}
    near = get_close_matches(value[:LONGEST].lower(), list(named), n=1, cutoff=0.5)
    short = value if len(value) <= LONGEST else f"{value[:LONGEST]}…"
    hint = f" The nearest is **{wording.plain_name(named[near[0]])}**." if near else ""
    st.warning(
        f"The address asks for the {what} “{wording.plain_name(short)}”, which this run does "
        f"not have.{hint} Showing the usual one instead.",
        icon=":material/link_off:",
    )
    if near and key:
        nearest = named[near[0]]
        st.button(
            f"Show {wording.plain_name(nearest)}",
            key=f"nearest_{key}",
            on_click=lambda: st.session_state.update({key: nearest}),
        )


def _forget_unknown(key: str, options: Sequence[str]) -> None:
    """Drop a kept value that another run does not have."""
    if key in st.session_state and st.session_state[key] not in options:
        del st.session_state[key]
