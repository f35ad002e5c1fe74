"""Class names of the sources, mapping tables, and what becomes of proteins outside the 15."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.errors import InputError, UsageError
from compute.importers.class_names import (
    MEANINGS,
    NAMES,
    NO_CELL,
    OUTSIDE,
    ClassNames,
    class_set,
    one_spelling,
    spelled,
    translate,
)
from compute.importers.localization_table import (
    read_class_names,
    read_localizations,
    settle,
    settle_spellings,
)
from compute.schema import LOCALIZATIONS, CellFlag

CHONG = [
    "ACTIN", "BUDNECK", "BUDTIP", "CELLPERIPHERY", "CYTOPLASM", "ENDOSOME", "ER", "GOLGI",
    "MITOCHONDRIA", "NUCLEARPERIPHERY", "NUCLEI", "NUCLEOLUS", "PEROXISOME", "SPINDLE",
    "SPINDLEPOLE", "VACUOLARMEMBRANE", "VACUOLE", "DEAD", "GHOST",
]  # fmt: skip
BUILT_IN = ClassNames()


def write(path, text):
    path.write_text(text)
    return path


def test_chongs_classes_cover_the_fifteen_once_each():
    places = [BUILT_IN.of(name).localization for name in CHONG]
    assert sorted(p for p in places if p) == sorted(LOCALIZATIONS)
    assert [n for n, p in zip(CHONG, places, strict=True) if p is None] == [
        "BUDTIP", "SPINDLE", "DEAD", "GHOST",
    ]  # fmt: skip
    assert [n for n in CHONG if BUILT_IN.of(n).flags == CellFlag.NOT_A_CELL] == ["DEAD", "GHOST"]


@pytest.mark.parametrize("meaning", MEANINGS)
def test_every_meaning_has_names_and_stands_for_itself(meaning):
    assert NAMES[meaning]
    for name in (*NAMES[meaning], meaning):
        found = BUILT_IN.of(name)
        assert found.localization == (meaning if meaning in LOCALIZATIONS else None)
        assert bool(found.flags) == (meaning == NO_CELL)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("mitochondria", "mitochondrion"), ("nuclei", "nucleus"), ("cytosol", "cytoplasm"),
        ("Endoplasmic Reticulum", "ER"), ("golgi", "Golgi"), ("Vacuole-Periphery",
        "vacuolar membrane"), ("Nuclear Periphery", "nuclear periphery"), ("spindle", None),
        ("punctate nuclear", None), ("lipid particles", None), ("dead cell", None),
    ],
)  # fmt: skip
def test_synonyms(name, place):
    assert BUILT_IN.of(name).localization == place


def test_unknown_names_are_listed_with_the_table_to_edit(tmp_path):
    with pytest.raises(InputError, match=r"file: unknown .*'lysosome', 'cilium'.*--class-names"):
        BUILT_IN.check(["ER", "lysosome", "cilium"], "file")
    table = write(tmp_path / "names.csv", "source,localization\nlysosome,vacuole\n")
    known = read_class_names(table)
    assert known.of("Lysosome").localization == "vacuole"
    with pytest.raises(InputError, match=rf"'cilium'.*{table}"):
        known.check(["lysosome", "cilium"], "file")


def test_a_table_comes_before_the_built_in_names(tmp_path):
    text = f"source,localization\nSPINDLE,spindle pole\nER,{OUTSIDE}\nbubble,{NO_CELL}\n"
    known = read_class_names(write(tmp_path / "names.csv", text))
    assert known.of("spindle").localization == "spindle pole"
    assert known.of("ER").localization is None
    assert known.of("bubble").flags == CellFlag.NOT_A_CELL
    assert read_class_names(None) == BUILT_IN


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("name,localization\na,ER\n", "missing column"),
        ("source,localization\na,\n", "row 2: an empty cell"),
        ("source,localization\na,ER\nA,Golgi\n", "row 3: 'A' stands for 'ER' already"),
        ("source,localization\na,mitochondria\n", "'mitochondria' .*did you mean 'mitochondrion'"),
    ],
)
def test_bad_mapping_tables(tmp_path, text, match):
    with pytest.raises(InputError, match=match):
        read_class_names(write(tmp_path / "names.csv", text))


def test_a_protein_with_a_place_outside_is_left_unlabelled():
    assert translate(["nuclei", "Nucleus"], BUILT_IN, "x") == (["nucleus"], [])
    assert translate(["nuclei", "cytosol"], BUILT_IN, "x") == (["nucleus", "cytoplasm"], [])
    assert translate(["nuclei", "lipid particles"], BUILT_IN, "x") == (None, ["lipid particles"])
    assert translate([], BUILT_IN, "x") == (None, [])


def test_localization_tables_are_translated(tmp_path):
    text = "protein,localization\nA,mitochondria\nB,nuclei;bud tip\nC,ER\nC,cytosol\nD,\n"
    table = read_localizations(write(tmp_path / "t.csv", text), BUILT_IN)
    assert table.labels == {"A": ["mitochondrion"], "C": ["ER", "cytoplasm"]}
    assert table.outside == {"B": ["bud tip"]}
    notes = table.notes(["A", "B", "C", "D"])
    assert any("1 of 4 proteins are left unlabelled" in n and "(bud tip): B" in n for n in notes)
    assert any("1 of 4 proteins have no localization: D" in note for note in notes)
    # Without names, as manifests of other organisms need it, every name stays.
    assert read_localizations(tmp_path / "t.csv").labels["A"] == ["mitochondria"]


def test_any_class_set(tmp_path):
    text = "source,localization\nActin filaments,Actin filaments\nF-actin,Actin filaments\n"
    known = read_class_names(write(tmp_path / "names.csv", text))
    assert known.of("actin FILAMENTS").localization == "Actin filaments"
    assert known.of("f-actin").localization == "Actin filaments"
    assert known.of("nuclei").localization == "nucleus"
    text = "source,localization\nF-actin,Actin filaments\n"
    with pytest.raises(InputError, match=r"unknown localization.*stands for itself in a row"):
        read_class_names(write(tmp_path / "names.csv", text))
    kept = read_class_names("keep")
    assert kept.of("Cilium").localization == "Cilium"
    assert kept.of("nuclei").localization == "nuclei"
    assert read_class_names("built-in", keep=True) == BUILT_IN
    with pytest.raises(InputError, match="--class-names keep"):
        BUILT_IN.check(["Cilium"], "x")


def test_one_spelling_of_every_class():
    names = Counter({"Nucleus": 3, "nucleus": 1, "NUCLEUS ": 1, "Cilium": 2, "CILIUM": 1, "ER": 1})
    assert one_spelling(names) == {
        "Nucleus": "nucleus", "nucleus": "nucleus", "NUCLEUS ": "nucleus",
        "Cilium": "Cilium", "CILIUM": "Cilium", "ER": "ER",
    }  # fmt: skip
    # A class with one spelling keeps it, also where it is one of the 15 in another case.
    assert one_spelling({"Nucleus": 2}) == {"Nucleus": "Nucleus"}
    names = Counter(["Nucleus", "nucleus", "nuclear", "early Golgi", "Golgi"])
    _, notes = settle_spellings(names, ClassNames(keep=True))
    assert notes[0] == "Nucleus, nuclear, nucleus are one class: nucleus."
    assert "Golgi, early Golgi may be one place, Golgi" in notes[1]
    _, notes = settle_spellings(Counter(["ER|Golgi"]), ClassNames(keep=True))
    assert "--separators '|'" in notes[0]


@given(
    st.dictionaries(st.text(max_size=6) | st.sampled_from(("ER", "er", "E r")), st.integers(1, 9))
)
def test_folding_is_idempotent_and_parts_only_by_letters(names):
    chosen = one_spelling(names)
    assert set(chosen) == set(names)
    assert one_spelling(Counter(chosen.values())) == {name: name for name in chosen.values()}
    for name, spelling in chosen.items():
        assert spelled(name) == spelled(spelling)
        assert spelled(spelled(name)) == spelled(name)
    assert len(set(chosen.values())) == len({spelled(name) for name in names})


def test_separators_and_missing_names():
    assert ClassNames().split(" ER ; Golgi;ER") == ["ER", "Golgi"]
    assert ClassNames().split("ER|Golgi, late") == ["ER|Golgi, late"]
    assert ClassNames(separators="|").split("ER|Golgi, late;x") == ["ER", "Golgi, late", "x"]
    assert ClassNames(separators="|,").split("ER|Golgi, late") == ["ER", "Golgi", "late"]
    for missing in ("NA", "N/A", "nan", "<NA>", "NULL", "#N/A", "", None, " ; "):
        assert ClassNames().split(missing) == []
    with pytest.raises(UsageError, match="Separators '/'"):
        ClassNames(separators="/")


def test_na_is_a_protein_but_no_localization(tmp_path):
    text = "Gene,Label\nNA,nucleus\nB,NA\nC,Nucleus\nD,Cilium\n"
    names = read_class_names("keep")
    read = read_localizations(write(tmp_path / "t.csv", text), names)
    table, classes = settle(read, names, {"NA", "B", "C"})
    assert table.labels == {"NA": ["nucleus"], "C": ["nucleus"], "D": ["Cilium"]}
    assert classes == tuple(LOCALIZATIONS)
    assert settle(read, names, {"D", "C"})[1] == ("Cilium", "Nucleus")
    notes = table.notes(["NA", "B", "C"])
    assert any("Column `Gene` is taken as `protein`" in note for note in notes)
    assert "Nucleus, nucleus are one class: nucleus." in notes


def test_class_set():
    assert class_set(["ER", "nucleus"]) == tuple(LOCALIZATIONS)
    assert class_set(["b", "ER", "a", "b"]) == ("ER", "a", "b")
