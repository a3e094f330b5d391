"""Times: what DuckDB means by zones, buckets, parts and distances of them, in Spark's SQL."""

import re

from sqlglot import exp

from workbench.cluster.words import (
    DAY_US,
    EPOCH,
    MONDAY,
    MONDAY_US,
    MONTHS,
    NAIVE,
    SPANS,
    WIDTHS_US,
    NotTranslated,
    as_type,
    call,
    raw,
    text,
    type_of,
    typed,
)

# The units that Spark knows to truncate to; those before the day first.
TRUNCATED = ("MICROSECOND", "MILLISECOND", "SECOND", "MINUTE", "HOUR", "DAY", "WEEK", "MONTH", "QUARTER", "YEAR")
# Units that pass alike whatever clocks are put back by.
PASSING = {unit: micros for unit, micros in WIDTHS_US.items() if unit not in ("DAY", "WEEK")}


def passed(interval: exp.Expr) -> str:
    """The microseconds of an interval of hours or less, which Spark counts as a day of the calendar once there are 24; empty for another."""
    if not isinstance(interval, exp.Interval):
        return ""
    if known := spelled(interval):
        count, name = known
        return str(count * PASSING[name]) if name in PASSING and count * PASSING[name] >= DAY_US else ""
    unit = interval.args.get("unit")
    name = unit.name.upper().removesuffix("S") if unit is not None else ""
    return (
        f"cast(({text(interval.this)}) AS BIGINT) * {PASSING[name]}"
        if name in PASSING and not isinstance(interval.this, exp.Literal)
        else ""
    )


def wall(instant: exp.Expr, zone: exp.Expr) -> exp.Expr:
    """What clocks of a zone show at an instant: by its microseconds, since going by a session's own zone would lose the hour that comes twice."""
    return typed(call("timestampadd", "MICROSECOND", call("unix_micros", call("from_utc_timestamp", instant, zone)), EPOCH), "TIMESTAMPNTZ")


def instant_of(naive: exp.Expr, zone: exp.Expr, midnight: str = "") -> exp.Expr:
    """The instant at which clocks of a zone show a time; of a date, its midnight."""
    shown = as_type(naive, "STRING")
    first = as_type(call("concat", shown, f"'{midnight} '", zone), "TIMESTAMP")
    if midnight or zone.name.upper() == "UTC":
        return typed(first, "TIMESTAMPTZ")
    # Of the hour that comes twice, when clocks are put back, the second is meant: the one before it shows the same.
    later, told = "v + INTERVAL '1' HOUR", text(zone)
    twice = f"if(from_utc_timestamp({later}, {told}) = from_utc_timestamp(v, {told}), {later}, v)"
    return typed(call("get", call("transform", call("array", first), f"v -> {twice}"), "0"), "TIMESTAMPTZ")


def at_time_zone(node: exp.AtTimeZone) -> exp.Expr:
    """`AT TIME ZONE`: of an instant the clock's time, of a clock's time the instant."""
    zone, kind = node.args["zone"], type_of(node.this)
    if kind == "DATE":
        return instant_of(node.this, zone, " 00:00:00")
    return instant_of(node.this, zone) if kind in NAIVE else wall(node.this, zone)


def truncated(node: exp.Expr) -> exp.Expr:
    """`date_trunc`."""
    unit = node.args["unit"]
    told = exp.Literal.string(unit.name) if isinstance(unit, exp.Var | exp.WeekStart | exp.Literal) else unit
    kind = type_of(node.this)
    if isinstance(told, exp.Literal) and told.name.upper().removesuffix("S") not in TRUNCATED:
        raise NotTranslated(f"date_trunc to {told.name.lower()}")
    if kind == "DATE":
        if not (isinstance(told, exp.Literal) and told.is_string):
            # To Spark's `trunc` there is no day, which the unit may turn out to be.
            return typed(as_type(call("date_trunc", told, as_type(node.this, "TIMESTAMP_NTZ")), "DATE"), "DATE")
        if told.name.upper().removesuffix("S") in TRUNCATED[:5]:
            return typed(as_type(node.this, "TIMESTAMP_NTZ"), "TIMESTAMP")
        made = node.this if told.name.upper() == "DAY" else call("trunc", node.this, told)
        return typed(made.copy(), "DATE")
    made = call("date_trunc", told, node.this)
    return typed(as_type(made, "TIMESTAMP_NTZ"), kind) if kind in NAIVE else typed(made, "TIMESTAMPTZ")


def width(interval: exp.Expr) -> tuple[int, int]:
    """Microseconds and months of a constant interval."""
    told = (spelled(interval) or (0, "")) if isinstance(interval, exp.Interval | exp.Literal | exp.Cast) else (0, "")
    count, name = told
    if count > 0 and name in WIDTHS_US:
        return count * WIDTHS_US[name], 0
    if count > 0 and name in MONTHS:
        return 0, count * MONTHS[name]
    raise NotTranslated(f"time_bucket of {interval.sql('duckdb')}, which is no constant number of one unit")


def micros_in(interval: exp.Expr) -> exp.Expr:
    """The microseconds of an interval: a constant, or so many minutes."""
    if isinstance(interval, exp.Anonymous) and interval.name == "make_dt_interval" and len(interval.expressions) == 1 + SPANS["to_minutes"]:
        return exp.Paren(this=exp.Mul(this=exp.Paren(this=interval.expressions[-1].copy()), expression=raw(f"{WIDTHS_US['MINUTE']}L")))
    micros, months = width(interval)
    if months:
        raise NotTranslated("time_bucket of months from an origin")
    return raw(str(micros))


def spelled(interval: exp.Expr) -> tuple[int, str] | None:
    """Number and unit of an interval, as `INTERVAL 5 MINUTE`, `'1 day'` or `'1 day'::INTERVAL`; None where it is another."""
    unit = interval.args.get("unit") if isinstance(interval, exp.Interval) else None
    told = interval.name if isinstance(interval, exp.Literal) else interval.this.name if interval.this is not None else ""
    found = re.fullmatch(r"\s*(\d+)\s*([A-Za-z]+)\s*", f"{told} {unit.name}" if unit is not None else told)
    return (int(found[1]), found[2].upper().removesuffix("S")) if found else None


def bucketed(size: exp.Expr, told: exp.Expr, zone: exp.Expr | None = None) -> exp.Expr:
    """`time_bucket`, without a third argument, with a zone, or of instants from another instant."""
    if zone is not None and not (isinstance(zone, exp.Literal) and zone.is_string):
        if type_of(told) in NAIVE or type_of(zone) in (*NAIVE, "DATE", "INTERVAL") or isinstance(zone, exp.Interval):
            raise NotTranslated("time_bucket by an offset, or of times without a zone from an origin")
        since = exp.Sub(this=micros_of(told), expression=micros_of(zone))
        left = exp.Sub(this=micros_of(told), expression=call("pmod", since, micros_in(size)))
        return typed(call("timestamp_micros", left), "TIMESTAMPTZ")
    micros, months = width(size)
    kind = type_of(told)
    if kind == "DATE":
        if months:
            return typed(month_of(told, months), "DATE")
        return typed(call("date_sub", told, call("pmod", call("datediff", told, MONDAY), micros // DAY_US)), "DATE")
    zone = zone if zone is not None else exp.Literal.string("UTC")
    local = told if kind in NAIVE else wall(told, zone)
    if months:
        made = as_type(month_of(as_type(local, "DATE"), months), "TIMESTAMP_NTZ")
    else:
        passed = call("timestampdiff", "MICROSECOND", EPOCH, local)
        over_monday = call("pmod", exp.Sub(this=passed.copy(), expression=raw(str(MONDAY_US))), micros)
        made = call("timestampadd", "MICROSECOND", exp.Sub(this=passed, expression=over_monday), EPOCH)
    return typed(made, kind) if kind in NAIVE else instant_of(made, zone)


def month_of(day: exp.Expr, months: int) -> exp.Expr:
    """The first day of a date's group of months."""
    count = f"(year({text(day)}) - 2000) * 12 + month({text(day)}) - 1"
    return call("add_months", call("trunc", day, "'MONTH'"), exp.Neg(this=call("pmod", count, months)))


def apart(node: exp.DateDiff) -> exp.Expr:
    """`date_diff`: how many boundaries of a unit lie between two times."""
    last, first, unit = node.this, node.expression, node.args["unit"].name.upper().removesuffix("S")
    days = [as_type(one, "DATE") for one in (last, first)]
    if unit == "DAY":
        return typed(call("datediff", *days), "BIGINT")
    if unit == "WEEK":
        raise NotTranslated("date_diff by weeks; write it as days")
    if unit in MONTHS:
        number = [f"(year({text(one)}) * 12 + month({text(one)}) - 1) DIV {MONTHS[unit]}" for one in days]
        return typed(raw(f"({number[0]} - {number[1]})"), "BIGINT")
    begun = [call("date_trunc", f"'{unit}'", one) for one in (first, last)]
    return typed(call("timestampdiff", unit, *begun), "BIGINT")


def extracted(unit: str, of: exp.Expr) -> exp.Expr:
    """A part of a time, as DuckDB counts it: Sunday is 0, Monday 1."""
    match unit.lower():
        case "dow" | "dayofweek" | "weekday":
            return typed(raw(f"(dayofweek({text(of)}) - 1)"), "BIGINT")
        case "isodow":
            return typed(raw(f"(weekday({text(of)}) + 1)"), "BIGINT")
        case "epoch":
            return typed(epoch(of), "DOUBLE")
        case "millisecond" | "milliseconds" | "microsecond" | "microseconds":
            factor = 1_000 if unit.lower().startswith("milli") else 1_000_000
            return typed(as_type(raw(f"extract(SECOND FROM {text(of)}) * {factor}"), "BIGINT"), "BIGINT")
        case "second" | "seconds":
            return typed(as_type(raw(f"extract(SECOND FROM {text(of)})"), "BIGINT"), "BIGINT")
    return typed(raw(f"extract({unit} FROM {text(of)})"), "BIGINT")


def epoch(of: exp.Expr) -> exp.Expr:
    """Seconds since 1970 with their fraction."""
    return typed(exp.Paren(this=exp.Div(this=micros_of(of), expression=raw("1000000D"))), "DOUBLE")


def micros_of(of: exp.Expr) -> exp.Expr:
    """Microseconds since 1970, or those of an interval of days and less."""
    if type_of(of) == "INTERVAL" or isinstance(of, exp.Interval):
        if re.search("MONTH|QUARTER|YEAR|ym_interval", text(of), re.IGNORECASE):
            raise NotTranslated("the microseconds of months, which are 30 days each to DuckDB")
        return typed(call("timestampdiff", "MICROSECOND", EPOCH, exp.Add(this=raw(EPOCH), expression=of.copy())), "BIGINT")
    if type_of(of) in (*NAIVE, "DATE"):
        return typed(call("timestampdiff", "MICROSECOND", EPOCH, as_type(of, "TIMESTAMP_NTZ")), "BIGINT")
    return typed(call("unix_micros", of), "BIGINT")
