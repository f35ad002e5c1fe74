"""A page: how many cells a run has, in one sentence."""

from tests.recipes.toy import Edit, Toy

VIEW = '''"""Census: how many cells there are."""

from dashboard import wording
from dashboard.state.shared import current
from dashboard.views import show
import streamlit as st


def page() -> None:
    """Show the page."""
    shared = current()
    show.header("Census", shared)
    cells = shared.run.query("SELECT count(*) AS n FROM {cells}", ("cells",))["n"].item()
    st.markdown(f"This run has {wording.count(cells, 'cell')}.")


if __name__ == "__main__":
    page()
'''

TOY = Toy(
    recipe="A page",
    edits=(
        Edit("dashboard/views/census.py", VIEW),
        Edit(
            "dashboard/views/__init__.py",
            '    Page("census", "Census", "groups"),\n',
            before='    Page("methods", ',
        ),
    ),
    tests=(
        "tests/dashboard/views/test_pages.py::test_page_opens_and_says_simulated",
        "tests/dashboard/views/test_pages.py::test_hand_edited_addresses_do_no_harm",
    ),
    script="""
import json, os
from pathlib import Path
from streamlit.testing.v1 import AppTest

os.environ["BYSTANDER_RUNS"] = json.dumps([str(Path("data/demo").resolve())])
test = AppTest.from_file("dashboard/app.py", default_timeout=120).run()
test.switch_page("views/census.py").run()
assert not test.exception
assert any("This run has 1,620 cells" in text.value for text in test.markdown)
""",
)
