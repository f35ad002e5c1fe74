"""A condition: the cell's own background at half its brightness."""

from tests.recipes.toy import Edit, Toy

TOY = Toy(
    recipe="A condition",
    edits=(
        Edit(
            "compute/schema/words.py",
            '    DIMMED = "dimmed"\n',
            before="\n\n@dataclass(frozen=True)\nclass ConditionSpec:",
        ),
        Edit(
            "compute/schema/words.py",
            """    Condition.DIMMED: ConditionSpec(
        "Dimmed",
        "the cell on its own background at half its brightness",
        "when its background is dimmed",
    ),
""",
            before='}\n"""In the order of tables and charts',
        ),
        Edit(
            "compute/backgrounds/behind.py",
            """def _dimmed(trials: ConditionTrials) -> Backgrounds:
    return Backgrounds(trials.centre_row, factor=0.5, own_neighbours=True)


""",
            before="BACKGROUNDS: dict[",
        ),
        Edit(
            "compute/backgrounds/behind.py",
            "    Condition.DIMMED: _dimmed,\n",
            before='}\n"""The background of every condition',
        ),
        Edit(
            "dashboard/theme.py",
            '    Condition.DIMMED: Ink("#1e003c", "#87a578"),\n',
            before="}\n\nMODEL_MARKS",
        ),
        Edit(
            "docs/method.md",
            "| `dimmed` | its own, at half its brightness | whether brightness matters |\n",
            before="| `background_only` |",
        ),
    ),
    tests=(
        "tests/test_docs.py",
        "tests/compute/test_schema.py",
        "tests/compute/backgrounds/test_plan.py",
        "tests/compute/backgrounds/test_scene.py",
        "tests/dashboard/test_theme.py",
    ),
    script="""
import tempfile
from pathlib import Path
from compute.backgrounds.config import PlanConfig
from compute.runs.config import RunConfig
from compute.runs.pipeline import run_store
from compute.simulation.simulate import simulate
from compute.statistics.bootstrap import BootstrapConfig
from dashboard.wording import on_background

folder = Path(tempfile.mkdtemp())
simulate(folder / "store", proteins_per_class=2, cells_per_protein=4, seed=1, workers=1)
config = RunConfig(
    plan=PlanConfig(conditions=("dimmed", "masked"), folds=2), bootstrap=BootstrapConfig(100, 100)
)
run, _ = run_store(folder / "store", folder / "run", ["pifia"], config, jobs=1)
assert "dimmed" in set(run.read("accuracy")["condition"].to_pylist())
assert "dimmed" in on_background("dimmed")
""",
)
