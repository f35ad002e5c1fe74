"""Columns of tables that people make: any case, common names, what is not used."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.importers.columns import SYNONYMS, match_columns, nearest

KNOWN = ("protein", "localization", "orf", "mask", "field", "replicate", "split", "path")


@pytest.mark.parametrize(
    ("column", "name"),
    [
        ("Gene", "protein"),
        ("Label", "localization"),
        ("Well", "field"),
        ("Mask", "mask"),
        ("Metadata_Gene", "protein"),
        ("METADATA_localization", "localization"),
        ("Subcellular Location", "localization"),
        ("Image_Path", "path"),
        ("gfp", "GFP"),
        ("FileName_GFP", "GFP"),
        ("GFP path", "GFP"),
    ],
)
def test_other_names_are_taken_and_said(column, name):
    names, notes = match_columns([column], KNOWN, ("GFP",))
    assert names == {column: name}
    assert notes == [f"Column `{column}` is taken as `{name}`."]


def test_the_documented_name_comes_first_without_a_word():
    names, notes = match_columns([*KNOWN, "GFP"], KNOWN, ("GFP",))
    assert names == {name: name for name in (*KNOWN, "GFP")}
    assert notes == []
    names, notes = match_columns(["Gene", "protein"], KNOWN)
    assert names == {"protein": "protein"}
    assert notes == ["1 column(s) are not used: Gene."]


def test_unknown_columns_are_named_with_the_nearest():
    names, notes = match_columns(["protein", "replicat", "intensity"], KNOWN)
    assert names == {"protein": "protein"}
    assert notes == ["2 column(s) are not used: replicat (nearest: replicate), intensity."]
    assert nearest(["protein"], ["Protien"]) == " Did you mean 'Protien' for 'protein'?"
    assert nearest(["protein"], ["x"]) == ""


def test_no_name_stands_for_two_columns():
    spellings = [name for names in SYNONYMS.values() for name in names]
    assert len(spellings) == len(set(spellings))
    assert not set(spellings) & set(SYNONYMS)


@given(
    st.lists(st.sampled_from([*KNOWN, "Gene", "GENE", "label", "x", "Well", "fov"]), unique=True)
)
def test_every_name_is_given_once_and_matching_again_changes_nothing(columns):
    names, _ = match_columns(columns, KNOWN)
    assert len(set(names.values())) == len(names)
    renamed = [names.get(column, column) for column in columns]
    assert all(match_columns(renamed, KNOWN)[0][name] == name for name in names.values())
