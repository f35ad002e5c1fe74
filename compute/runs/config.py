"""Settings that a run's tables depend on.

Layer: frozen dataclasses, checked when made; no arrays, no torch.
"""

from dataclasses import dataclass, field

from compute.backgrounds.config import PlanConfig
from compute.embedding.config import EmbedConfig
from compute.errors import UsageError, unknown_value
from compute.schema import ANSWERING, PROBES, Probe
from compute.statistics.config import BootstrapConfig


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
    keep_embeddings
        Whether `embeddings` stay in a finished run.
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
