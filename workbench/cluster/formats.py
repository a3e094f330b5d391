"""Texts that numbers are put into, as DuckDB's `printf` and `format` write them."""

import re

from sqlglot import exp

from workbench.cluster.words import BROKEN, WHOLE, NotTranslated, call, raw, text, type_of, typed


def printed(node: exp.Anonymous) -> exp.Expr:
    """`printf` with texts and `%.10g`, which Java's formats do otherwise: ten digits that count, and no zeros after them."""
    form, values = node.expressions[0], [text(one) for one in node.expressions[1:]]
    if not (isinstance(form, exp.Literal) and form.is_string):
        raise NotTranslated("printf in a form that is not a constant")
    told = [
        f"regexp_replace(CAST(TRY_CAST(format_string('%.9e', CAST({one} AS DOUBLE)) AS DECIMAL(38, 18)) AS STRING), '\\\\.?0+$', '')"
        if piece == "%.10g"
        else one
        for piece, one in zip(pieces(form.name), values, strict=True)
    ]
    made = text(call("format_string", exp.Literal.string(form.name.replace("%.10g", "%s")), *told))
    return typed(raw(f"CASE WHEN {' AND '.join(f'{one} IS NOT NULL' for one in values)} THEN {made} END"), "VARCHAR")


# What stands for each directive of `strftime` in Spark's patterns.
WRITTEN = {"Y": "yyyy", "m": "MM", "d": "dd", "H": "HH", "M": "mm", "S": "ss", "y": "yy", "b": "MMM", "B": "MMMM", "a": "EEE", "A": "EEEE"}
WRITTEN |= {
    "j": "DDD",
    "f": "SSSSSS",
    "g": "SSS",
    "p": "a",
    "I": "hh",
    "-d": "d",
    "-m": "M",
    "-H": "H",
    "-I": "h",
    "-M": "m",
    "-S": "s",
    "-j": "D",
}
# What may be read: numbers of one digit as well, where something stands between them.
READ = {
    "Y": "yyyy",
    "m": "M",
    "d": "d",
    "H": "H",
    "M": "m",
    "S": "s",
    "b": "MMM",
    "B": "MMMM",
    "-d": "d",
    "-m": "M",
    "-H": "H",
    "-M": "m",
    "-S": "s",
}


def pattern(form: exp.Expr, known: dict[str, str], what: str) -> exp.Expr:
    """The pattern that stands for a form of `strftime`. Raises `NotTranslated`."""
    if not (isinstance(form, exp.Literal) and form.is_string):
        raise NotTranslated(f"{what} in a form that is not a constant")
    parts = re.split(r"%(-?[A-Za-z%])", form.name)
    made = ""
    for n, one in enumerate(parts):
        if n % 2 == 0 or one == "%":
            held = "%" if n % 2 else one
            # Letters, and what else means something there, stand between quotes.
            made += re.sub(r"[A-Za-z\[\]{}#]+", lambda told: f"'{told[0]}'", held.replace("'", "''"))
        elif one in known:
            made += known[one]
        else:
            raise NotTranslated(f"{what} with %{one}")
    return exp.Literal.string(made)


def written_time(of: exp.Expr, form: exp.Expr) -> exp.Expr:
    """`strftime`."""
    return typed(call("date_format", of, pattern(form, WRITTEN, "strftime")), "VARCHAR")


def read_time(of: exp.Expr, form: exp.Expr) -> exp.Expr:
    """`strptime`: a time without a zone."""
    run_on = isinstance(form, exp.Literal) and re.search(r"%[A-Za-z]%[A-Za-z]", form.name)
    known = {one: WRITTEN[one] if run_on and len(one) == 1 else told for one, told in READ.items()}
    return typed(call("to_timestamp_ntz", of, pattern(form, known, "strptime")), "TIMESTAMP")


def pieces(form: str) -> list[str]:
    """The places of a form of `printf`."""
    found = re.findall(r"%[-+0 #]*\d*(?:\.\d+)?[a-zA-Z]", form)
    if odd := [one for one in found if one.endswith("g") and one != "%.10g"]:
        raise NotTranslated(f"printf with {odd[0]}")
    return found


def formatted(form: exp.Expr, *values: exp.Expr) -> exp.Expr:
    """`format`: texts and whole numbers as `{}`, numbers as `{:g}`, `{:.3g}`, `{:.1f}` and `{:,.0f}`."""
    if not (isinstance(form, exp.Literal) and form.is_string):
        raise NotTranslated("format in a form that is not a constant")
    parts = re.split(r"\{([^{}]*)\}", form.name)
    if len(parts) != 2 * len(values) + 1:
        raise NotTranslated("format with places that are numbered, or brackets of its own")
    told = [text(exp.Literal.string(parts[0]))]
    for one, place, after in zip(values, parts[1::2], parts[2::2], strict=True):
        told += [in_place(one, place), text(exp.Literal.string(after))]
    return typed(call("concat", *told), "VARCHAR")


def in_place(value: exp.Expr, place: str) -> str:
    """A value as a place of `format` shows it."""
    told = f"CAST({text(value)} AS DOUBLE)"
    if not place and type_of(value) not in BROKEN:
        return f"CAST({text(value)} AS STRING)"
    if place == ":," and type_of(value) in WHOLE:
        return f"format_string('%,d', {text(value)})"
    if found := re.fullmatch(r":(,?)\.(\d+)f", place):
        return f"CASE WHEN {told} IS NOT NULL THEN format_string('%{found[1]}.{found[2]}f', {told}) END"
    if not (found := re.fullmatch(r":(?:\.([1-9]))?g", place)):
        raise NotTranslated(f"format with {{{place}}} of {type_of(value) or 'a type that is not known'}")
    digits = int(found[1] or 6)
    shown = f"format_string('%.{digits - 1}e', {told})"
    power = f"CAST(substring_index({shown}, 'e', -1) AS INT)"
    bare = "regexp_replace({}, '[.]0+$|([.][0-9]*?[1-9])0+$', '$1')"
    plainly = bare.format(f"CAST(CAST({shown} AS DECIMAL(38, 18)) AS STRING)")
    mantissa = bare.format(f"substring_index({shown}, 'e', 1)")
    return (
        f"CASE WHEN {told} = 0 THEN '0' WHEN isnan({told}) THEN 'nan' WHEN abs({told}) = DOUBLE('Infinity') THEN if({told} > 0, 'inf', '-inf') "
        f"WHEN {told} IS NULL THEN NULL WHEN {power} BETWEEN -4 AND {digits - 1} THEN {plainly} "
        f"ELSE concat({mantissa}, 'e', substring_index({shown}, 'e', -1)) END"
    )
