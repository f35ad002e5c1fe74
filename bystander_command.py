"""The command `bystander`: sees to it that it runs Bystander's own packages, then runs them.

The packages are called `compute` and `dashboard`, and others may be too. A file of that name in the
working folder is found first where ``PYTHONPATH`` has an empty part, and another distribution that
is installed later writes over them. Then nothing in `compute` could say what is wrong, so this
module stands beside the packages, under a name that nobody else has, and uses the standard library
only.
"""

import base64
import hashlib
import sys
from collections.abc import Iterator
from importlib.machinery import PathFinder
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

HOME = Path(__file__).resolve().parent
"""The folder that this module and the packages were installed to."""

PACKAGES = ("compute", "dashboard")
DISTRIBUTION = "bystander"


def main() -> None:
    """Run the command line; exit status 1 where other packages stand in place of ours."""
    problems = list(foreign_packages())
    if problems:
        for problem, remedy in problems:
            print(f"Error: {problem}\n{remedy}", file=sys.stderr)
        sys.exit(1)
    from compute.cli.main import main as run

    run()


def foreign_packages() -> Iterator[tuple[str, str]]:
    """Find what Python would import in place of our packages, without importing it.

    Yields
    ------
    tuple of str
        What is wrong, naming the file; and what to do.
    """
    for name in PACKAGES:
        ours = HOME / name / "__init__.py"
        found = _found(name)
        if found in (None, ours.parent) or (found == ours and not ours.is_file()):
            yield (
                f"Bystander's package {name!r} is no longer whole at {ours.parent}.",
                f"Install it again: pip install --force-reinstall --no-deps {DISTRIBUTION}",
            )
        elif found != ours:
            yield (
                f"Python finds {found} in place of Bystander's package {name!r} at {ours.parent}.",
                f"Rename it, or start `bystander` in another folder and without {found.parent} in "
                "PYTHONPATH (an empty part of it means the working folder).",
            )
        elif _overwritten(ours):
            others = [one for one in packages_distributions().get(name, []) if one != DISTRIBUTION]
            who = f" by {', '.join(sorted(set(others)))}" if others else ""
            yield (
                f"{ours} was written over{who} after Bystander was installed.",
                "Give Bystander an environment of its own, or install it again: "
                f"pip install --force-reinstall --no-deps {DISTRIBUTION}",
            )


def _found(name: str) -> Path | None:
    """Return the file that `import name` would run, or the folder of a package without one."""
    spec = PathFinder.find_spec(name)
    if spec is None:
        return None
    if spec.origin is not None:
        return Path(spec.origin).resolve()
    places = list(spec.submodule_search_locations or [])
    return Path(places[0]).resolve() if places else None


def _overwritten(file: Path) -> bool:
    """Tell whether an installed file is not the one that was installed.

    Only its distribution's record says so; in a checkout (an editable install) there is none.
    """
    try:
        recorded = distribution(DISTRIBUTION).files or []
    except PackageNotFoundError:
        return False
    for entry in recorded:
        if entry.hash is not None and Path(str(entry.locate())).resolve() == file:
            digest = hashlib.new(entry.hash.mode, file.read_bytes()).digest()
            return base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != entry.hash.value
    return False
