"""Trino's pages of rows as Arrow, a page at a time: each is decoded and let go before the next is asked for."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jangbu.kernel.errors import EngineError

if TYPE_CHECKING:
    import pyarrow as pa

Decode = Callable[[Sequence[Any]], "pa.Array[Any]"]


class Columns:
    """The columns of an answer, as the server describes them."""

    def __init__(self, described: Sequence[Mapping[str, Any]]) -> None:
        import pyarrow as pa

        types = [_type(column["typeSignature"]) for column in described]
        self._decoders: list[Decode] = [_decoder(type_) for type_ in types]
        self.schema = pa.schema([(column["name"], type_) for column, type_ in zip(described, types, strict=True)])

    def batch(self, rows: Sequence[Sequence[Any]]) -> "pa.RecordBatch":
        """Raises EngineError for a value that its type can't hold: a moment outside the years 1 to 9999."""
        import pyarrow as pa

        try:
            arrays = [decode(values) for decode, values in zip(self._decoders, zip(*rows, strict=True), strict=True)]
            return pa.RecordBatch.from_arrays(arrays, schema=self.schema)
        except (pa.ArrowInvalid, ValueError, OverflowError) as error:
            raise EngineError("Trino returned a value that its type can't hold.") from error


def _type(signature: Mapping[str, Any]) -> "pa.DataType":
    import pyarrow as pa

    raw = signature["rawType"]
    given = [argument["value"] for argument in signature["arguments"]]
    if raw == "decimal":
        return pa.decimal128(*given)
    if raw.startswith("timestamp") and given and given[0] > 6:
        raise EngineError(f"Trino returned a time of precision {given[0]}; 6 is the finest that is kept.")
    known: dict[str, pa.DataType] = {
        "bigint": pa.int64(),
        "integer": pa.int32(),
        "smallint": pa.int16(),
        "tinyint": pa.int8(),
        "double": pa.float64(),
        "real": pa.float32(),
        "boolean": pa.bool_(),
        "varchar": pa.string(),
        "char": pa.string(),
        "date": pa.date32(),
        "timestamp": pa.timestamp("us"),
        "timestamp with time zone": pa.timestamp("us", "UTC"),
        "unknown": pa.null(),
    }
    if raw not in known:
        raise EngineError(f"Trino returned a column of the type {raw!r}.", value=raw, known=sorted(known))
    return known[raw]


def _decoder(type_: "pa.DataType") -> Decode:
    import pyarrow as pa

    if pa.types.is_floating(type_):
        return lambda values: _floats(values, type_)
    if pa.types.is_timestamp(type_) and type_.tz is not None:
        return lambda values: _instants(values, type_)
    if pa.types.is_decimal(type_) or pa.types.is_temporal(type_):
        return lambda values: pa.array(values, pa.string()).cast(type_)
    return lambda values: pa.array(values, type_)


def _floats(values: Sequence[Any], type_: "pa.DataType") -> "pa.Array[Any]":
    """NaN and the infinities come as texts."""
    import pyarrow as pa

    try:
        return pa.array(values, type_)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([float(value) if isinstance(value, str) else value for value in values], type_)


def _instants(values: Sequence[Any], type_: "pa.DataType") -> "pa.Array[Any]":
    """`2017-01-01 00:00:00.000000 UTC`: the session's zone is UTC, and so is each value's that our SQL makes."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = pa.array(values, pa.string())
    if pc.all(pc.ends_with(texts, " UTC")).as_py() is False:
        raise EngineError("Trino returned an instant in another zone than UTC.")
    return pc.utf8_slice_codeunits(texts, 0, -4).cast(pa.timestamp("us")).cast(type_)
