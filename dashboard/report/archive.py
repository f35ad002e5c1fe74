"""Office files made the same for the same content: no dates but the deck's, no other order."""

import io
import re
import zipfile

FIRST_DAY = (1980, 1, 1, 0, 0, 0)
"""The earliest date that a zip archive can hold."""

DATES = re.compile(rb"(<dcterms:(?:created|modified)[^>]*>)[^<]*(<)")


def repacked(content: bytes, date: str) -> bytes:
    """Return an Office file with every date replaced.

    Parameters
    ----------
    content
        A ``.pptx`` or ``.xlsx`` file; workbooks inside it are repacked too.
    date
        ISO 8601, to the second, with ``Z``.
    """
    found, made = io.BytesIO(content), io.BytesIO()
    with (
        zipfile.ZipFile(found) as old,
        zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            data = old.read(name)
            if name.endswith(".xlsx"):
                data = repacked(data, date)
            elif name == "docProps/core.xml":
                data = DATES.sub(rb"\g<1>" + date.encode() + rb"\g<2>", data)
            entry = zipfile.ZipInfo(name, FIRST_DAY)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o600 << 16
            new.writestr(entry, data)
    return made.getvalue()
