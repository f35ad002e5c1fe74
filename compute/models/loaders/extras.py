"""Libraries that only some sources need, loaded when one is used. No torch."""

from importlib import import_module
from types import ModuleType

from compute.errors import UsageError


def import_extra(module: str, extra: str, who: str) -> ModuleType:
    """Import a library that comes with one of Bystander's extras.

    Parameters
    ----------
    module
        Its name.
    extra
        The extra that installs it.
    who
        What needs it, for the message.

    Raises
    ------
    UsageError
        It is not installed, or cannot be loaded; says why.
    """
    try:
        return import_module(module)
    except ImportError as error:
        missing = error.name == module.partition(".")[0]
        raise UsageError(
            f"{who} needs {module}, which "
            + ("is not installed." if missing else f"cannot be loaded: {error}."),
            f"Install it: pip install 'bystander[{extra}]'.",
        ) from error
    except RuntimeError as error:
        # So speaks torchvision, which timm loads, where it was built for another PyTorch.
        raise UsageError(
            f"{who} needs {module}, which cannot be loaded: {str(error).splitlines()[0]}.",
            "PyTorch and torchvision must be of one release and from one index: install them "
            "together.",
        ) from error
