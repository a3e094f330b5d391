"""The forms of an answer: Arrow's stream, CSV, JSON and lines of JSON, each written batch by batch, so that no answer is whole in memory.

JSON has fewer kinds of values than DuckDB: times are in ISO form, decimals are numbers, what is not a finite number is null, bytes are base64. Arrow
keeps all as it is.
"""

import base64
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, get_args

from workbench.api.faults import Refused
from workbench.errors import QueryError

if TYPE_CHECKING:
    import pyarrow as pa

Form = Literal["arrow", "csv", "json", "ndjson"]
FORMS: tuple[Form, ...] = get_args(Form)
MEDIA: dict[Form, str] = {
    "arrow": "application/vnd.apache.arrow.stream",
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
    "ndjson": "application/x-ndjson",
}
ACCEPTED: Mapping[str, Form] = {
    "application/vnd.apache.arrow.stream": "arrow",
    "text/csv": "csv",
    "application/json": "json",
    "application/x-ndjson": "ndjson",
    "application/jsonl": "ndjson",
    "application/*": "json",
    "*/*": "json",
    "text/*": "csv",
}
# So many rows are turned into text at a time.
PIECE = 8_192
# Days since 1970 of 0001-01-02 and 9999-12-31, and how many units of an instant a day has.
FIRST_DAY, LAST_DAY = -719_161, 2_932_896
DAY = {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}


def form_of(told: Form | None, accept: str) -> Form:
    """The form that a request asks for: by name, else by its Accept header, the first of the most wanted that there is. Raises `Refused`."""
    if told:
        return told
    wanted = []
    for n, part in enumerate(accept.split(",") if accept.strip() else ()):
        media, *parameters = (one.strip().lower() for one in part.split(";"))
        try:
            share = next((float(one[2:]) for one in parameters if one.startswith("q=")), 1.0)
        except ValueError:
            share = 0.0
        if media in ACCEPTED and share > 0:
            wanted.append((-share, n, ACCEPTED[media]))
    if wanted:
        return min(wanted)[2]
    if accept.strip():
        raise Refused(
            406, "NotAcceptable", f"no answer comes as {accept[:100]!r}; nothing was done. Accept {', '.join(list(ACCEPTED)[:4])}."
        )
    return "json"


class Writer(ABC):
    """Writes an answer in one form."""

    def __init__(self, schema: "pa.Schema"):
        self.schema = schema
        self.rows = 0

    def begin(self) -> bytes:
        """What stands before the rows."""
        return b""

    def batch(self, rows: "pa.RecordBatch") -> bytes:
        """Some rows. Raises `QueryError` for values that this form has no text of."""
        for name, column in zip(self.schema.names, rows.columns, strict=True):
            if far(column):
                raise QueryError(
                    f"the column {name[:200]} holds a time outside of the years 1 to 9999, or an infinite one, which this form cannot tell; ask for "
                    "Arrow, or cast it to VARCHAR."
                )
        try:
            return b"".join(self._piece(rows.slice(at, PIECE)) for at in range(0, rows.num_rows, PIECE))
        except BaseException as fault:
            # A time too far away within a list or a struct, a map whose keys are lists: Polars' panic is no Exception.
            if not isinstance(fault, Exception) and type(fault).__name__ != "PanicException":
                raise
            raise QueryError(
                f"the answer holds a value that this form cannot tell ({type(fault).__name__}); ask for Arrow, or cast it to VARCHAR."
            ) from fault

    @abstractmethod
    def _piece(self, rows: "pa.RecordBatch") -> bytes:
        """A few rows."""

    def end(self, *, truncated: bool) -> bytes:  # noqa: ARG002
        """What stands behind them."""
        return b""


class Arrow(Writer):
    """Arrow's IPC stream. An answer that was cut says so in the metadata of a last batch, which has no rows."""

    def __init__(self, schema: "pa.Schema"):
        import pyarrow as pa

        super().__init__(schema)
        self._sink = io.BytesIO()
        self._stream = pa.ipc.new_stream(self._sink, schema)

    def _taken(self) -> bytes:
        made = self._sink.getvalue()
        self._sink.seek(0)
        self._sink.truncate()
        return made

    def begin(self) -> bytes:
        return self._taken()

    def batch(self, rows: "pa.RecordBatch") -> bytes:
        self._stream.write_batch(rows)
        self.rows += rows.num_rows
        return self._taken()

    def _piece(self, rows: "pa.RecordBatch") -> bytes:
        return self.batch(rows)

    def end(self, *, truncated: bool) -> bytes:
        import pyarrow as pa

        if truncated:
            none = pa.RecordBatch.from_arrays([pa.array([], one.type) for one in self.schema], schema=self.schema)
            self._stream.write_batch(none, custom_metadata={"truncated": "true"})
        self._stream.close()
        return self._taken()


class Csv(Writer):
    """CSV with a line of names; lists, structs and maps are JSON in it."""

    def begin(self) -> bytes:
        from csv import writer

        out = io.StringIO()
        writer(out, lineterminator="\n").writerow(self.schema.names)
        return out.getvalue().encode()

    def _piece(self, rows: "pa.RecordBatch") -> bytes:
        import pyarrow as pa
        from pyarrow import csv

        arrays = []
        for column in rows.columns:
            if pa.types.is_nested(column.type) or odd(column.type):
                texts = [
                    one if one is None or isinstance(one, str) else json.dumps(one)
                    for one in map(clean, column.to_pylist(maps_as_pydicts="lossy"))
                ]
                column = pa.array(texts, pa.string())
            arrays.append(column)
        out = io.BytesIO()
        # By number: an answer may have a name twice.
        csv.write_csv(
            pa.RecordBatch.from_arrays(arrays, names=[str(n) for n in range(len(arrays))]), out, csv.WriteOptions(include_header=False)
        )
        self.rows += rows.num_rows
        return out.getvalue()


class Lines(Writer):
    """An object for each row, a line each."""

    def __init__(self, schema: "pa.Schema"):
        super().__init__(schema)
        self._names = once(schema.names)
        self._plain = not any(odd(one.type) for one in schema)

    def _piece(self, rows: "pa.RecordBatch") -> bytes:
        self.rows += rows.num_rows
        rows = rows.rename_columns(self._names)
        if not self._plain or not self._names:
            return "".join(f"{json.dumps(clean(row), allow_nan=False)}\n" for row in rows.to_pylist(maps_as_pydicts="lossy")).encode()
        import polars as pl
        import polars.selectors as cs

        # Who meant a decimal exactly takes Arrow or CSV: what reads JSON makes doubles of its numbers.
        frame = pl.DataFrame(rows)
        frame = frame.with_columns(
            *(whole_or_double(one) for one in frame.select(cs.decimal())), cs.datetime(time_zone=None).dt.to_string("iso:strict")
        )
        return frame.write_ndjson().encode()


class Json(Lines):
    """One object: the columns with their types, the rows, how many they are, and whether there were more than were asked for."""

    def begin(self) -> bytes:
        columns = [{"name": name, "type": str(one.type)} for name, one in zip(self._names, self.schema, strict=True)]
        return f'{{"columns":{json.dumps(columns)},"rows":['.encode()

    def _piece(self, rows: "pa.RecordBatch") -> bytes:
        first = not self.rows
        lines = super()._piece(rows).rstrip(b"\n").replace(b"\n", b",\n")
        return lines if first or not lines else b",\n" + lines

    def end(self, *, truncated: bool) -> bytes:
        return f'],"row_count":{self.rows},"truncated":{json.dumps(truncated)}}}'.encode()


WRITERS: dict[Form, type[Writer]] = {"arrow": Arrow, "csv": Csv, "json": Json, "ndjson": Lines}


def whole_or_double(values: Any) -> Any:
    """A column of decimals as numbers: whole ones as such if 64 bits hold them, others as doubles."""
    import polars as pl

    if getattr(values.dtype, "scale", 1) == 0:
        whole = values.cast(pl.Int64, strict=False)
        if whole.null_count() == values.null_count():
            return whole
    return values.cast(pl.Float64)


def far(column: "pa.Array") -> bool:
    """Whether dates or instants lie outside of the years 1 to 9999, which is all that what writes text here knows: `infinity` does, too."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if not (pa.types.is_timestamp(kind) or pa.types.is_date32(kind)):
        return False
    day = DAY[kind.unit] if pa.types.is_timestamp(kind) else 1
    # Days since 1970; a zone moves an instant by less than one.
    whole = column.view(pa.int32() if pa.types.is_date32(kind) else pa.int64())
    ends = pc.min_max(whole).as_py()
    return ends["min"] is not None and not (FIRST_DAY * day <= ends["min"] and ends["max"] < LAST_DAY * day)


def odd(kind: "pa.DataType") -> bool:
    """Whether a type is, or holds, one that text has no form of: bytes, and lengths of time."""
    import pyarrow as pa

    test = pa.types
    if test.is_binary(kind) or test.is_large_binary(kind) or test.is_binary_view(kind) or test.is_fixed_size_binary(kind):
        return True
    if test.is_interval(kind) or test.is_duration(kind) or test.is_union(kind) or isinstance(kind, pa.BaseExtensionType):
        return True
    return any(odd(kind.field(n).type) for n in range(kind.num_fields)) if test.is_nested(kind) else False


def once(names: list[str]) -> list[str]:
    """Names, with a number behind those that were there before."""
    seen = set[str]()
    made = []
    for name in names:
        told, n = name, 1
        while told in seen:
            n += 1
            told = f"{name}_{n}"
        seen.add(told)
        made.append(told)
    return made


def clean(value: Any) -> Any:
    """A value of Python's as JSON has it."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, float):
        return value if value - value == 0 else None
    if value is None or isinstance(value, str | int | bool):
        return value
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() and value.as_tuple().exponent == 0 else float(value)
    if isinstance(value, Mapping):
        return {str(name): clean(one) for name, one in value.items()}
    if isinstance(value, tuple) and hasattr(value, "months"):
        months, days, rest = value
        return f"{months} months {days} days {rest} ns"
    if isinstance(value, list | tuple):
        return [clean(one) for one in value]
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
