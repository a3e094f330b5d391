"""What to refresh, as fields of a form: each says what is wrong with it in words under itself, before anything is started."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import date
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.arguments import as_date
from workbench.errors import BadRange, NoSource, UnknownName, UsageError, WorkbenchError
from workbench.panels.parts import widgets
from workbench.query.report import Report
from workbench.refresh.plan import check, default_tables
from workbench.refresh.universe import checked, resolve
from workbench.tables import FED, REFERENCE, find

if TYPE_CHECKING:
    from workbench.bench import Workbench
    from workbench.config import Settings

SOURCES = ("polygon_s3", "polygon_api", "yahoo", "sample", "folder:")
DATASETS = tuple(table.name for table in (*FED, *REFERENCE))
TONES = {"bad": "var(--jp-error-color1, #b42318)", "warn": "var(--jp-warn-color0, #b25e09)", "": "var(--jp-ui-font-color2, #666)"}
LABELS = {"days": "days of history", "last": "again, the newest"}
NEAR = 3
KNOWN_TICKERS = "SELECT DISTINCT ticker FROM tickers"


class RefreshFields:
    """The fields of a refresh. `command` is what they stand for at the prompt; `check` says in words what they cannot stand for."""

    def __init__(self, bench: "Workbench"):
        self.bench = bench
        self.configured = configured(bench.settings)
        self._faults: dict[str, Any] = {}
        late = {"continuous_update": False}
        self.source = widgets.Combobox(value=self.configured, options=SOURCES, placeholder="polygon_s3, folder:PATH …", **late)
        self.datasets = widgets.SelectMultiple(options=DATASETS, rows=9)
        self.symbols = widgets.Text(placeholder="the universe, or all", **late)
        self.universe = widgets.Text(placeholder="a file, top:500, or a list", **late)
        self.days = widgets.Text(placeholder="newest sessions, as 30", **late)
        self.start = widgets.Text(placeholder="2026-01-31", **late)
        self.end = widgets.Text(placeholder="2026-01-31", **late)
        self.last = widgets.Text(placeholder="look at the newest sessions again, as 5", **late)
        self.again = widgets.Checkbox(description="try refused files again", indent=False)
        self.reset = widgets.Checkbox(description="reset: empty the tables first", indent=False)
        self.going = widgets.HTML(layout=widgets.Layout(display="none"))
        self.confirm = widgets.Text(layout=widgets.Layout(display="none", width="auto"), **late)
        left = [self._field("source", self.source), self._field("datasets", self.datasets)]
        middle = [self._field(name, getattr(self, name)) for name in ("symbols", "universe", "days")]
        right = [self._field(name, getattr(self, name)) for name in ("start", "end", "last")]
        column = widgets.Layout(flex="1 1 270px", min_width="240px", margin="0 12px 0 0")
        form = widgets.HBox(
            [
                widgets.VBox(left, layout=column),
                widgets.VBox([*middle, self.again], layout=column),
                widgets.VBox([*right, self.reset], layout=column),
            ],
            layout=widgets.Layout(flex_flow="row wrap", width="100%"),
        )
        below = [self.going, self.confirm, self._fault("confirm")]
        self.view = widgets.VBox([form, *below])
        self.reset.observe(self._alone("confirm", self._reset_changed), "value")
        self.datasets.observe(self._alone("confirm", self._reset_changed), "value")
        for name in ("source", "symbols", "universe", "days", "start", "end", "last"):
            getattr(self, name).observe(self._alone(name, self._checks[name]), "value")

    def _field(self, name: str, field: Any) -> Any:
        field.layout.width = "auto"
        label = widgets.HTML(f'<b style="font-size:12px">{LABELS.get(name, name)}</b>')
        return widgets.VBox([label, field, self._fault(name)], layout=widgets.Layout(margin="0 0 4px 0"))

    def _fault(self, name: str) -> Any:
        self._faults[name] = widgets.HTML()
        return self._faults[name]

    # ------------------------------------------------------------------ tell

    def tell(self, name: str, text: str = "", tone: str = "bad") -> None:
        """Say a sentence under a field; nothing takes it away."""
        self._faults[name].value = (
            f'<div style="font-size:12px;line-height:1.35;overflow-wrap:anywhere;color:{TONES[tone]}">{escape(text)}</div>' if text else ""
        )

    def told(self, name: str) -> str:
        """What stands under a field, as HTML."""
        return str(self._faults[name].value)

    def quiet(self) -> None:
        """Take away what was said."""
        for name in self._faults:
            self.tell(name)

    def _alone(self, name: str, action: Callable[[], None]) -> Callable[..., None]:
        """A callback that says its error under a field."""

        def callback(*_: Any) -> None:
            self.tell(name)
            self._try(name, action)

        return callback

    def _try(self, name: str, action: Callable[[], None]) -> bool:
        try:
            action()
        except WorkbenchError as fault:
            self.tell(name, str(fault))
        except Exception as fault:
            self.tell(name, f"unexpected {type(fault).__name__}: {fault}. This is a fault of the workbench: please report it.")
        else:
            return True
        return False

    # ------------------------------------------------------------------ check

    @property
    def _checks(self) -> dict[str, Callable[[], None]]:
        return {
            "source": self._check_source,
            "datasets": lambda: check(self.datasets.value, None, None, None),
            "symbols": self._check_symbols,
            "universe": self._check_universe,
            "days": self._check_days,
            "start": self._check_start,
            "end": self._check_end,
            "last": lambda: check(None, None, None, None, number(self.last.value)),
        }

    def check(self, *, resetting: bool = True) -> bool:
        """Whether a refresh can be made of the fields; what is wrong with one is said under it. `resetting` asks for the confirmation, too."""
        self.quiet()
        good = [self._try(name, action) for name, action in self._checks.items()]
        return all(good) and (not resetting or self._try("confirm", self._check_confirm))

    @property
    def named(self) -> str:
        """The source as the command line takes it: a folder's path whole, as the run has another working directory."""
        text = str(self.source.value).strip()
        kind, _, path = text.partition(":")
        return f"folder:{Path(path.strip()).expanduser().absolute()}" if kind == "folder" and path.strip() else text

    @property
    def settings(self) -> "Settings":
        """The settings with the source that is chosen. Raises `UnknownName` for one that is none, `NoSource` without any."""
        if self.named in ("", self.configured):
            return self.bench.settings
        return self.bench.settings.with_source(self.named)

    def _check_source(self) -> None:
        from workbench.refresh.chain import chain_of

        if self.named.startswith("folder:") and not self.named.removeprefix("folder:"):
            raise UsageError("folder: lacks its path; nothing was listed. Write folder:PATH.")
        chain = chain_of(self.settings)
        chain.close()
        if kept_out := [f"{name}: {why}" for name, why in chain.skipped.items() if name == chain.name]:
            self.tell("source", f"{'; '.join(kept_out)}. What stands behind it is asked instead.", "warn")

    def _check_symbols(self) -> None:
        names = checked(words(self.symbols.value))
        with suppress(WorkbenchError):
            if names and self.bench.lake.exists and self.bench.snapshots()["tickers"].files:
                known = {ticker for (ticker,) in self.bench.sql(KNOWN_TICKERS).fetchall()}
                if strange := [name for name in names if name not in known]:
                    self.tell("symbols", unheard(strange, known), "warn")

    def _check_universe(self) -> None:
        if text := str(self.universe.value).strip():
            resolve(self.bench, text)

    def _check_days(self) -> None:
        days = number(self.days.value)
        check(None, None, None, days)
        if days is not None and (self.start.value.strip() or self.end.value.strip()):
            raise BadRange("days and dates were both given; nothing was done. Leave one of them empty.")

    def _check_start(self) -> None:
        check(None, day(self.start.value), None, None)

    def _check_end(self) -> None:
        from workbench.sessions import today

        end, start = day(self.end.value), None
        # What is wrong with the start is said under it.
        with suppress(WorkbenchError):
            start = day(self.start.value)
        check(None, start if start and start <= today() else None, end, None)
        if end and end > today():
            self.tell("end", f"{end} has not come yet: sessions up to today are looked at.", "warn")

    # ------------------------------------------------------------------ reset

    @property
    def tables(self) -> list[str]:
        """The tables that a refresh of the fields fills. Raises what a source that cannot be used does."""
        if self.datasets.value:
            return list(self.datasets.value)
        from workbench.refresh.chain import opened

        with opened(self.settings) as chain:
            return [table.name for table in default_tables(chain)]

    def leaving(self) -> Report:
        """What a reset would take out now."""
        return self.bench.reset(self.tables, dry_run=True)

    @property
    def _short(self) -> str:
        """The last part of the lake's place."""
        return self.bench.settings.where.rpartition("/")[2]

    def _reset_changed(self) -> None:
        self.confirm.value = ""
        if not self.reset.value:
            self.going.layout.display = self.confirm.layout.display = "none"
            return
        report = self.leaving()
        notes = "".join(f"<p>{escape(note)}</p>" for note in report.facts["notes"])
        ask = f"<p><b>Type {escape(' '.join(emptied(report)))}, or {escape(self.bench.settings.where.rpartition('/')[2])}, to confirm.</b></p>"
        self.going.value = f'<div style="line-height:1.4">{report._repr_html_()}{notes}{ask * bool(report.rows)}</div>'
        self.going.layout.display = ""
        self.confirm.layout.display = "" if report.rows else "none"
        self.confirm.placeholder = " ".join(emptied(report))

    def _check_confirm(self) -> None:
        if not self.reset.value:
            return
        wanted = emptied(self.leaving())
        typed = str(self.confirm.value).strip()
        if wanted and typed != self._short and sorted(words(typed)) != sorted(wanted):
            root = self._short
            said = f"{typed!r} is not what confirms it" if typed else "it is not confirmed"
            raise UsageError(f"a reset takes all rows out, and {said}; nothing was started. Type {' '.join(wanted)}, or {root}.")

    # ------------------------------------------------------------------ use

    def command(self, verb: str) -> list[str]:
        """The arguments that the fields stand for."""
        resets = verb == "refresh" and self.reset.value
        parts = [verb, *(self.tables if resets else self.datasets.value)]
        # What the lake was opened with is no setting that a prompt would find.
        if self.named and (self.named != self.configured or self.bench.settings.origins.get("source") == "argument"):
            parts += ["--source", self.named]
        if names := words(self.symbols.value):
            parts += ["--symbols", ",".join(names)]
        for option in ("universe", "days", "start", "end", "last"):
            if value := str(getattr(self, option).value).strip():
                parts += [f"--{option}", value]
        parts += ["--again"] * bool(self.again.value) + ["--reset", "--yes"] * bool(resets)
        return [*parts, "--data", self.bench.settings.where]

    def fill(
        self,
        datasets: Sequence[str] | None = None,
        symbols: str | Sequence[str] | None = None,
        start: date | str | None = None,
        end: date | str | None = None,
        source: str | None = None,
        again: bool = False,
    ) -> None:
        """Fill the fields in, and empty the others; a dataset that is none is named under the field."""
        self.reset.value = False
        wanted = [datasets] if isinstance(datasets, str) else list(datasets or ())
        self.datasets.value = tuple(name for name in DATASETS if name in wanted)
        self.symbols.value = symbols if isinstance(symbols, str) else ", ".join(symbols or ())
        self.start.value, self.end.value = (str(one or "") for one in (start, end))
        self.universe.value = self.days.value = self.last.value = ""
        self.source.value = self.configured if source is None else source
        self.again.value = again
        self.check(resetting=False)
        if strange := [name for name in wanted if name not in DATASETS]:
            self._try("datasets", lambda: refuse(strange))

    def done(self) -> None:
        """A reset is asked for once: take its mark and confirmation away."""
        self.reset.value = False


def refuse(names: Iterable[str]) -> None:
    """Raise for the first of some datasets that a refresh cannot fill: `UnknownName`, or `UsageError` for one that is filled otherwise."""
    for name in names:
        find(name)
        check([name], None, None, None)
        raise UnknownName("dataset that a refresh fills", name, DATASETS)


def emptied(report: Report) -> list[str]:
    """The tables that a reset takes rows out of."""
    return [row["table"] for row in report.rows]


def words(text: str) -> list[str]:
    """The names in a list with commas or spaces."""
    return list(dict.fromkeys(str(text).replace(",", " ").replace(";", " ").split()))


def number(text: str) -> int | None:
    """The count that a field holds; None if it is empty. Raises `BadRange`."""
    text = str(text).strip()
    if text and not (text.isascii() and text.removeprefix("-").isdigit()):
        raise BadRange(f"{text!r} is not a count of sessions; nothing was done. Write a whole number, as 30.")
    return int(text) if text else None


def day(text: str) -> date | None:
    """The date that a field holds; None if it is empty. Raises `BadRange`."""
    return as_date(str(text).strip() or None)


def unheard(names: Sequence[str], known: Iterable[str]) -> str:
    """That the lake has not heard of some symbols, with the nearest that it has."""
    from difflib import get_close_matches

    near = get_close_matches(names[0].upper(), known, NEAR, 0.6)
    meant = f" Did you mean {' or '.join(near)}?" if near else ""
    return f"The lake's tickers know no {', '.join(names[:10])}; a source may, and is asked all the same.{meant}"


def configured(settings: "Settings") -> str:
    """The source that is used if none is named; nothing if there is none."""
    try:
        return settings.chosen_source
    except NoSource:
        return ""
