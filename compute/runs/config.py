"""Settings that a run's tables depend on.

Layer: frozen dataclasses, checked when made; no arrays, no torch.
"""

from dataclasses import dataclass, field

from compute.backgrounds.config import PlanConfig
from compute.embedding.config import EmbedConfig
from compute.errors import UsageError, unknown_value
from compute.schema import ANSWERING, PROBES, Probe
from compute.statistics.config import BootstrapConfig

EXACT = 24
"""Significant bits of a 32-bit float: all that predictions have."""


@dataclass(frozen=True)
class RunConfig:
    """Everything that a run's tables depend on, beside the store and the models.

    Parameters
    ----------
    plan, embed, bootstrap
        Settings of the plan, of embedding, and of intervals and tests.
    probes
        Names from `Probe`; by default all but `network`, which takes long. `pair` and `multiclass`
        are always taken.
    examples
        Cells of each protein whose crops are kept to look at, 0 to 1000.
    example_bits
        Bits of a pixel of these crops, 4 to 16; with 16, the default, integers are exact.
    keep_embeddings, keep_predictions
        Whether `embeddings` and `predictions` stay in a finished run. Without predictions it keeps
        every number and loses what is shown of single cells.
    probability_bits
        Significant bits of the probabilities that stay in `predictions` and `distributions`, 8 to
        24; with 24, the default, they are exact. Other tables are made of the exact ones.
    seeds_of
        Networks of which the run has several weights, trained from different seeds: their means
        get intervals that take in how seeds differ. None by default.

    Raises
    ------
    UsageError
        There is no such probe, or `examples` is out of range; other values are checked where they
        are used.

    Examples
    --------
    >>> from compute import PlanConfig, RunConfig
    >>> RunConfig(plan=PlanConfig(split="test")).plan.folds
    5
    """

    plan: PlanConfig = field(default_factory=PlanConfig)
    embed: EmbedConfig = field(default_factory=EmbedConfig)
    bootstrap: BootstrapConfig = field(default_factory=BootstrapConfig)
    probes: tuple[str, ...] = tuple(str(p) for p, spec in PROBES.items() if spec.usual)
    examples: int = 4
    example_bits: int = 16
    keep_embeddings: bool = True
    keep_predictions: bool = True
    probability_bits: int = EXACT
    seeds_of: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check every value that no stage checks."""
        for name in self.probes:
            if name not in set(PROBES):
                raise unknown_value("probe", name, PROBES)
        chosen = {*ANSWERING, *map(Probe, self.probes)}
        object.__setattr__(self, "probes", tuple(str(p) for p in PROBES if p in chosen))
        if not 0 <= self.examples <= 1000:
            raise UsageError(f"examples is {self.examples}; it must be 0 to 1000.")
        if not 4 <= self.example_bits <= 16:
            raise UsageError(f"example_bits is {self.example_bits}; it must be 4 to 16.")
        if not 8 <= self.probability_bits <= EXACT:
            raise UsageError(
                f"probability_bits is {self.probability_bits}; it must be 8 to {EXACT}."
            )

    @property
    def unwanted(self) -> list[str]:
        """Folders that do not stay in a finished run, beside the work folder."""
        kept = {"embeddings": self.keep_embeddings, "predictions": self.keep_predictions}
        return [name for name, stays in kept.items() if not stays]
