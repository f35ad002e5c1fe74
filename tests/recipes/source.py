"""A model source: the crop itself, made small."""

from tests.recipes.toy import Edit, Toy

LOADER = '''"""Makes an embedding of the crop itself, made small.

Layer: a found card in, a network out.
"""

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from compute.errors import UsageError
from compute.models.card_files import FoundModel
from compute.models.loaders.network import OUTPUT, Network

SIDE = 8
"""Pixels of the small crop along each side."""


class Thumbnail:
    """Averages squares of a crop."""

    def forward_to(self, images: Tensor, layer: str, /) -> Tensor:
        """Return the small crop as one vector.

        Raises
        ------
        UsageError
            Another layer is asked for.
        """
        if layer != OUTPUT:
            raise UsageError(f"A thumbnail has no layer {layer!r}.", f'Write layer = "{OUTPUT}".')
        return adaptive_avg_pool2d(images, SIDE).flatten(1)


def load(found: FoundModel, device: torch.device) -> Network:
    """Return the network of a card; it has no weights."""
    return Thumbnail()
'''

ENTRY = """        "thumbnail": Source(
            "the crop itself, made small",
            _LOADERS + "thumbnail:load",
            defaults=MappingProxyType({**_ANSWER, "scaling": "min_max"}),
        ),
"""

SECTION = """## The crop itself

```toml
name = "small-crop"
source = "thumbnail"
trained_on = "nothing"
simulated = false
channels = ["GFP", "RFP"]
```

```sh
bystander models check small-crop.toml store
```

"""

TOY = Toy(
    recipe="A model source",
    edits=(
        Edit("compute/models/loaders/thumbnail.py", LOADER),
        Edit(
            "compute/models/sources.py",
            ENTRY,
            before='    }\n)\n"""Every source by the name that stands before the colon',
        ),
        Edit(
            "docs/own-model.md",
            "| `thumbnail` | [the crop itself, made small](#the-crop-itself) | no | |\n",
            before="| `untrained:NAME`, `handcrafted`, `handcrafted-centre`",
        ),
        Edit("docs/own-model.md", SECTION, before="## Answers from another program"),
        Edit("ARCHITECTURE.md", "`thumbnail`, ", before="`untrained`, what is `measured`"),
    ),
    tests=(
        "tests/test_docs.py",
        "tests/test_own_model_page.py::test_every_source_has_a_card_or_a_line",
        "tests/compute/models/test_new_card.py",
        "tests/compute/models/baselines/test_names.py",
    ),
    script="""
import tempfile
from pathlib import Path
from compute import check_model, new_card
from tests.screen import draw_store

folder = Path(tempfile.mkdtemp())
draw_store(folder / "store", ("GFP", "RFP"), 64, ("a", "b"), cells=2, seed=1)
card = new_card(folder / "small-crop.toml", "thumbnail", channels=["GFP", "RFP"])
found = check_model(card, folder / "store")
assert found.dimension == 2 * 8 * 8
assert found.source.startswith("thumbnail, the crop itself")
""",
)
