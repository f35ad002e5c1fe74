"""The probes: an enum, and what each of them is, for runs and for people. No torch."""

from dataclasses import dataclass
from enum import StrEnum


class Probe(StrEnum):
    """What is asked of embeddings, and how the answers are counted."""

    PAIR = "pair"
    MULTICLASS = "multiclass"
    KNN = "knn"
    RETRIEVAL = "retrieval"
    MULTILABEL = "multilabel"
    NETWORK = "network"


@dataclass(frozen=True)
class ProbeSpec:
    """Properties of a probe, for runs and for people.

    Parameters
    ----------
    title
        Name as shown in a choice.
    words
        How it follows “by”, in a sentence.
    definition
        What it is, to follow “accuracy in” or the name of its measure.
    measure
        What its numbers are: “accuracy” unless it says otherwise.
    chance
        Its number by chance: ``"half"``, ``"classes"`` (one of the number of classes), or
        ``"none"`` where that depends on how often the probe says yes.
    usual
        Whether runs have it unless they say otherwise, as they have by default.
    """

    title: str
    words: str
    definition: str
    measure: str = "accuracy"
    chance: str = "classes"
    usual: bool = True


PROBES: dict[Probe, ProbeSpec] = {
    Probe.PAIR: ProbeSpec(
        "Pairs of classes",
        "pair tests",
        "pair tests (a linear SVM tells two classes apart; chance is 50%)",
        chance="half",
    ),
    Probe.MULTICLASS: ProbeSpec(
        "All classes at once",
        "the multi-class probe",
        "one linear classifier for all localizations",
    ),
    Probe.KNN: ProbeSpec(
        "Most similar cells vote",
        "nearest neighbours",
        "the vote of the most similar cells of other proteins (k nearest neighbours of the "
        "embedding)",
    ),
    Probe.RETRIEVAL: ProbeSpec(
        "Retrieval of the class",
        "retrieval",
        "retrieval (a cell ranks the cells of other proteins by similarity; 100% where all of its "
        "class come first)",
        measure="mean average precision",
    ),
    Probe.MULTILABEL: ProbeSpec(
        "Several labels a cell",
        "multi-label F1",
        "one linear classifier a localization, each of which says yes or no (cells of several "
        "localizations included)",
        measure="macro-F1",
        chance="none",
    ),
    Probe.NETWORK: ProbeSpec(
        "A small network",
        "a small network",
        "a network with one hidden layer for all localizations",
        usual=False,
    ),
}
"""In the order of choices."""

ANSWERING = (Probe.PAIR, Probe.MULTICLASS)
"""Probes that every run has, on all its readings: only of them are there steps of a drop, and of
one of them pair tests, of the other single answers, flips and calibration."""

BESIDE = tuple(probe for probe in PROBES if probe not in ANSWERING)
"""Probes that a run may have beside these."""
