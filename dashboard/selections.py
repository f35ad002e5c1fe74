"""Widgets whose value lives in the address; an unknown value there is said and never used.

The address holds what the widget shows. Names as the files write them (a gene, an ORF, a
condition's key) are understood too, so that an address can be written by hand.
"""

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import streamlit as st

from dashboard import wording

LONGEST = 60
"""Characters of an unknown value that are repeated to the reader."""

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
        Buttons side by side instead of a list; always one chosen.
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
        label_visibility=visibility,
    )
    return chosen


def several(
    label: str, key: str, options: Sequence[str], *, shown: Format = str, help_: str | None = None
) -> tuple[str, ...]:
    """Let some options be chosen (all at first), and keep them in the address; never none."""
    raw = st.query_params.get_all(key)
    allowed = {shown(option) for option in options}
    for value in [item for item in raw if item not in allowed]:
        _say_unknown(label.lower(), value, [shown(option) for option in options])
    if key in st.session_state and not set(st.session_state[key] or []) <= set(options):
        st.session_state[key] = [o for o in st.session_state[key] if o in options]
    picked = st.pills(
        label,
        options,
        selection_mode="multi",
        default=list(options),
        format_func=shown,
        key=key,
        bind="query-params",
        help=help_,
    )
    if not picked:
        st.caption("None chosen: all are shown.")
    return tuple(option for option in options if option in (picked or options))


def search(label: str, key: str, placeholder: str) -> str:
    """Let a text be searched for, and keep it in the address."""
    text = st.text_input(
        label, key=key, bind="query-params", placeholder=placeholder, max_chars=100
    )
    return (text or "").strip()


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
        st.session_state[key] = hit
        return
    _say_unknown(what, raw, list(texts), known)


def _say_unknown(
    what: str, value: str, texts: Sequence[str], known: Mapping[str, str] | None = None
) -> None:
    named = {text.lower(): text for text in texts} | dict(known or {})
    near = get_close_matches(value[:LONGEST].lower(), list(named), n=1, cutoff=0.5)
    hint = f" The nearest is **{wording.plain_name(named[near[0]])}**." if near else ""
    short = value if len(value) <= LONGEST else f"{value[:LONGEST]}…"
    st.warning(
        f"The address asks for the {what} “{wording.plain_name(short)}”, which this run does "
        f"not have.{hint} Showing the usual one instead.",
        icon=":material/link_off:",
    )


def _forget_unknown(key: str, options: Sequence[str]) -> None:
    """Drop a kept value that another run does not have."""
    if key in st.session_state and st.session_state[key] not in options:
        del st.session_state[key]
