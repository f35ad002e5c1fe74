"""One file a page, and what pages share. The only room that calls Streamlit to show things."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Page:
    """A page of the dashboard.

    Parameters
    ----------
    name
        Its file in this folder, which is its address as well.
    title
        Name in the menu.
    icon
        A Material symbol.
    """

    name: str
    title: str
    icon: str


PAGES = (
    Page("overview", "Overview", "insights"),
    Page("accuracy", "Accuracy", "target"),
    Page("proteins", "Proteins", "genetics"),
    Page("crops", "Crops", "grid_view"),
    Page("compare", "Compare", "compare_arrows"),
    Page("present", "Present", "present_to_all"),
    Page("methods", "Methods", "menu_book"),
)
"""In the order of the menu; the first is where readers arrive."""
