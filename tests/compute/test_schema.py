"""Tables are checked at the door; registries are complete; words do not clash."""

import pyarrow as pa
import pytest

from compute import schema
from compute.errors import InputError, unknown_value
from compute.schema import CONDITIONS, Condition, TrialFlag, check_table
from compute.storage.paths import RUN_TABLES

EXPECTED = pa.schema(
    [pa.field("cell", pa.int64(), nullable=False), ("protein", pa.string()), ("n", pa.int16())]
)


def table(**columns):
    return pa.table({"cell": [1, 2], "protein": ["a", None], "n": [3, 4], **columns})


def test_a_good_table_comes_back_in_the_schemas_order_and_types():
    shuffled = table().select(["n", "cell", "protein"])
    found = check_table(shuffled, EXPECTED, "cells")
    assert found.schema.equals(EXPECTED)
    assert found.to_pydict() == table().to_pydict()


def test_missing_and_unknown_columns_are_named_together():
    wrong = table().drop_columns(["n"]).append_column("m", pa.array([1, 2]))
    with pytest.raises(
        InputError, match=r"store/cells: missing column\(s\) n; unknown column\(s\) m\."
    ):
        check_table(wrong, EXPECTED, "store/cells")


def test_a_column_too_many_is_refused():
    with pytest.raises(
        InputError, match=r"cells: unknown column\(s\) m\. Expected: cell, protein, n"
    ):
        check_table(table(m=[1, 2]), EXPECTED, "cells")


@pytest.mark.parametrize(
    "column", [["one", "two"], [1.5, 2], [2**20, 0]], ids=["text", "fraction", "too large"]
)
def test_values_of_another_type_are_refused_with_the_table_named(column):
    with pytest.raises(InputError, match="cells"):
        check_table(table(n=column), EXPECTED, "cells")


def test_empty_values_are_refused_where_they_may_not_be():
    with pytest.raises(InputError, match="cell"):
        check_table(table(cell=pa.array([1, None])), EXPECTED, "cells")
    assert check_table(table(n=pa.array([None, 1])), EXPECTED, "cells")["n"].null_count == 1


@pytest.mark.parametrize("name", schema.SUMMARY_TABLES)
def test_empty_summary_tables_pass_their_own_check(name):
    expected = schema.SUMMARY_TABLES[name]
    assert check_table(expected.empty_table(), expected, name).schema.equals(expected)


def test_every_condition_is_registered_in_the_enums_order():
    assert list(CONDITIONS) == list(Condition)
    assert [*schema.COMPOSED, Condition.CONFLICTING] == sorted(
        Condition, key=lambda c: (c is Condition.CONFLICTING, list(Condition).index(c))
    )
    assert {spec.donors for spec in CONDITIONS.values()} == {"none", "cell", "window"}
    keys = [spec.paper_key for spec in CONDITIONS.values() if spec.paper_key]
    assert sorted(keys) == ["base", "batch", "diff", "mask", "same"]
    assert {c for c, spec in CONDITIONS.items() if spec.grid} == {
        Condition.DIFFERENT,
        Condition.CELL_FREE,
    }


def test_the_fifteen_localizations_are_distinct():
    assert len(set(schema.LOCALIZATIONS)) == 15


def test_every_trial_flag_is_explained():
    assert set(schema.TRIAL_FLAGS) == set(TrialFlag) - {TrialFlag.NONE}


@pytest.mark.parametrize("values", [schema.PROTOCOLS, schema.SUMMARY_TABLES])
def test_every_table_and_protocol_has_its_entry(values):
    names = schema.Protocol if values is schema.PROTOCOLS else RUN_TABLES
    assert set(values) <= set(names)
    if values is schema.PROTOCOLS:
        assert set(values) == set(schema.Protocol)


def test_a_store_of_crops_has_fixed_sizes():
    crops = schema.crops_schema(2, 64, 2)
    assert crops.field("image").type == pa.binary(2 * 64 * 64 * 2)
    assert crops.field("mask").type == pa.binary(512)
    assert schema.crops_schema(1, 9, 1).field("mask").type == pa.binary(11), "rounded up"
    assert schema.windows_schema(2, 64, 4).field("image").type == pa.binary(2 * 64 * 64 * 4)


def test_an_unknown_value_names_the_nearest_and_all():
    found = unknown_value("condition", "sme", CONDITIONS)
    assert str(found).startswith(
        "Unknown condition 'sme'. Did you mean 'same'? Allowed: unaltered,"
    )
    assert "Did you mean" not in str(unknown_value("model", "zzz", ["pifia"]))


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({}, None),
        ({"masks": {"given": 0, "segmented": 0}}, None),
        ({"masks": {"given": 1200, "segmented": 0}}, "All 1,200 masks came with the crops."),
        (
            {"masks": {"given": 0, "segmented": 7}},
            "All 7 masks were found by Bystander; none came with the crops.",
        ),
        (
            {"masks": {"given": 900, "segmented": 300}, "marker": "RFP"},
            "Of the 1,200 masks 300 were found by Bystander in the channel RFP; the others came "
            "with the crops.",
        ),
        (
            {"masks": {"given": 5, "segmented": 0}, "simulated": True},
            "All 5 masks are known: the cells are simulated.",
        ),
    ],
)
def test_where_masks_come_from_is_said_in_a_sentence(source, said):
    assert schema.mask_origin(source) == said
