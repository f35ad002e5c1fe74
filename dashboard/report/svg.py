"""Drawings by matplotlib as SVG that stands inside a page: no style, no names that could clash.

Colours are variables of the page, so one drawing serves light and dark; styles become attributes,
so it may stand under a content security policy that forbids them.
"""

import re
from collections.abc import Mapping
from xml.etree import ElementTree as Tree

from dashboard.render.panels import Swatches

SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"
FONT = re.compile(r"^(?P<words>(?:[a-z0-9-]+ )*?)(?P<size>[\d.]+)px (?P<family>.+)$")
ELSEWHERE = ", Verdana, sans-serif"
"""After the fonts of this computer: Verdana's letters are as wide as DejaVu Sans'."""

Tree.register_namespace("", SVG)
Tree.register_namespace("xlink", XLINK)


def inline(drawing: bytes, place: str, alt: str, variables: Mapping[str, str]) -> str:
    """Return a drawing as an element of a page.

    Parameters
    ----------
    drawing
        A whole SVG file by matplotlib.
    place
        Beginning of all names inside, unique on the page.
    alt
        For readers who cannot see it.
    variables
        Stand-in colours with what is written instead, from `variables_of`.
    """
    root = Tree.fromstring(drawing)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{SVG}}}metadata", f"{{{SVG}}}style"):
                parent.remove(child)
    names = _names(root, place)
    for element in root.iter():
        _rewrite(element, names, variables)
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.attrib |= {
        "role": "img",
        "aria-label": alt,
        "stroke-linejoin": "round",
        "stroke-linecap": "butt",
    }
    return Tree.tostring(root, encoding="unicode")


def variables_of(swatches: Swatches) -> dict[str, str]:
    """Return every stand-in colour with the page's variable for it."""
    return {
        colour: f"var(--i{number}, {ink.light})"
        for number, (colour, ink) in enumerate(swatches.found.items())
    }


def _names(root: Tree.Element, place: str) -> dict[str, str]:
    """Return new names of what is referred to; what is not needs none."""
    text = Tree.tostring(root, encoding="unicode")
    used = dict.fromkeys(re.findall(r'(?:url\(#|href="#)([^)"]+)', text))
    return {old: f"{place}-{number}" for number, old in enumerate(used)}


def _rewrite(element: Tree.Element, names: Mapping[str, str], colours: Mapping[str, str]) -> None:
    found = dict(element.attrib)
    element.attrib.clear()
    for part in found.pop("style", "").split(";"):
        key, _, value = part.partition(":")
        if not value:
            continue
        if key.strip() == "font":
            found |= _font(value.strip())
        elif key.strip() == "font-family":
            found["font-family"] = f"{value.strip().removesuffix(', sans-serif')}{ELSEWHERE}"
        else:
            found.setdefault(key.strip(), value.strip())
    for key, value in found.items():
        if key == "id":
            if value in names:
                element.set("id", names[value])
            continue
        if key in (f"{{{XLINK}}}href", "href") and value.startswith("#"):
            element.set("href", f"#{names[value[1:]]}")
            continue
        if value.startswith("url(#"):
            value = f"url(#{names[value[5:-1]]})"
        element.set(key, colours.get(value, value))


def _font(value: str) -> dict[str, str]:
    """Take the short form apart that matplotlib wrote before 3.11."""
    found = FONT.match(value)
    if found is None:
        return {}
    words = found["words"].split()
    weight = {"font-weight": words[-1]} if words else {}
    family = found["family"].removesuffix(", sans-serif")
    return {"font-size": found["size"], "font-family": f"{family}{ELSEWHERE}", **weight}
