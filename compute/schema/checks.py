"""Checks of tables against their schemas, when they are read and before they are written."""

import pyarrow as pa

from compute.errors import InputError


def check_table(table: pa.Table, schema: pa.Schema, what: str) -> pa.Table:
    """Return a table with the schema's order of columns and types.

    Parameters
    ----------
    table
        What was read or is about to be written.
    schema
        The columns that it must have; further ones are refused.
    what
        Name of the table or file, for the message.

    Raises
    ------
    InputError
        A column is missing, unknown, of another type, or null where it may not be.
    """
    missing = [name for name in schema.names if name not in table.column_names]
    extra = [name for name in table.column_names if name not in schema.names]
    if missing or extra:
        problem = f"{what}: " + "; ".join(
            said
            for said in (
                f"missing column(s) {', '.join(missing)}" if missing else "",
                f"unknown column(s) {', '.join(extra)}" if extra else "",
            )
            if said
        )
        raise InputError(f"{problem}.", f"Expected: {', '.join(schema.names)}.")
    try:
        checked = table.select(schema.names).cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        raise InputError(f"{what}: {error}.", f"Expected: {schema.to_string()}.") from error
    for field in schema:
        nulls = checked.column(field.name).null_count
        if not field.nullable and nulls:
            raise InputError(
                f"{what}: column {field.name!r} has {nulls} empty value(s).", "Fill or remove them."
            )
    return checked
