"""What the lake holds and how it stands, in a notebook: numbers that say where they come from, and that move by themselves if told to."""

import weakref
from collections.abc import Mapping
from datetime import UTC, datetime
from time import perf_counter
from typing import TYPE_CHECKING, Any

from workbench.errors import LakeError, SourceError
from workbench.panels.cells import Cells, clickable
from workbench.panels.numbers import Number, numbers
from workbench.panels.parts import Panel, Ticker, escape, guarded, line, row, widgets
from workbench.query.report import Report, shown, sized

if TYPE_CHECKING:
    from workbench.bench import Workbench

HEADS = {
    "table": "table",
    "rows": "rows",
    "sessions": "sessions",
    "first": "first",
    "last": "last",
    "behind": "behind",
    "fallback_only": "fallback only",
    "files": "files",
    "bytes": "size",
    "refused_files": "refused files",
    "refused_rows": "refused rows",
    "landed_at": "landed",
}
MARKS = {
    "good": ("●", "var(--jp-success-color1, #1a7f37)"),
    "look": ("▲", "var(--jp-warn-color1, #b26a00)"),
    "bad": ("■", "var(--jp-error-color1, #b42318)"),
}
# What a number must be for nobody to look at it twice.
WELL = {"behind": 0, "fallback_only": 0, "refused_files": 0, "refused_rows": 0}
LEAST_SECONDS = 1


class StatusPanel(Panel):
    """Every table with its numbers, and the checks of `bench.health()`. A click on a number shows the SQL that gives it.

    With `every` it looks again by itself, every so many seconds, until the panel is closed or the box is unticked.
    """

    def __init__(self, bench: "Workbench", every: float | None = None):
        self.bench = bench
        self.numbers: dict[str, Number] = {}
        self._status, self._health = Report("", []), Report("", [])
        self._ticker: Ticker | None = None
        self._seen = False

        slim = widgets.Layout(width="auto")
        self.button = widgets.Button(description="Reload", icon="refresh", tooltip="Read the lake's status again")
        self.auto = widgets.Checkbox(value=every is not None, description="every", indent=False, layout=slim)
        self.seconds = widgets.BoundedFloatText(
            value=every or 10, min=LEAST_SECONDS, max=86_400, step=1, layout=widgets.Layout(width="80px"), tooltip="Seconds"
        )
        self.read_at = widgets.HTML()
        self.message = widgets.HTML()
        self.title = Cells()
        self.health = Cells()
        self.table = Cells()
        self.sql = widgets.Textarea(disabled=False, rows=4, layout=widgets.Layout(width="100%", max_width="900px"))
        self.run_button = widgets.Button(description="Run", icon="play", tooltip="Run this SQL and show what it gives")
        self.result = widgets.HTML()
        self.about = widgets.HTML()
        self.origin = widgets.VBox([self.about, self.sql, row(self.run_button, self.result)], layout=widgets.Layout(display="none"))
        self.view = widgets.VBox(
            [
                row(
                    self.button,
                    self.auto,
                    self.seconds,
                    widgets.HTML("seconds", layout=widgets.Layout(margin="2px 16px 2px 2px")),
                    self.read_at,
                ),
                self.message,
                self.title,
                self.health,
                self.table,
                self.origin,
            ],
            # Has the browser count where it is shown: nobody needs to look for what nobody sees.
            _view_count=0,
        )
        self._reload = guarded(self.tell, self.reload)
        self.button.on_click(self._reload)
        self.run_button.on_click(guarded(self._told, self.run))
        for cells in (self.title, self.health, self.table):
            cells.on_pick(lambda name: guarded(self.tell, lambda: self.pick(name))())
        self.auto.observe(guarded(self.tell, self._follow), names="value")
        self.view.observe(self._viewed, names="_view_count")
        self._reload()
        self._follow()

    # ------------------------------------------------------------------ look

    def reload(self) -> None:
        """Read the status and show it. What is damaged is told by the checks, with what of the rest can be read."""
        began = perf_counter()
        self._health = self.bench.health()
        try:
            self._status = self.bench.status()
            said = ""
        except (LakeError, SourceError) as fault:
            said = f"{fault} The tables' numbers are as they were before."
        self.numbers = numbers(self._status, self._health)
        self._draw()
        self.read_at.value = line(f"read at {datetime.now():%H:%M:%S}, in {(perf_counter() - began) * 1000:,.0f} ms")
        self.tell(said, "bad" if said else "")

    def pick(self, name: str) -> None:
        """Show the SQL of a number, by its cell's name."""
        if name not in self.numbers:
            self.tell(f"{name} is no number that is shown now. Click another, or reload.", "bad")
            return
        number = self.numbers[name]
        self.about.value = line(f"{number.told}: {shown(number.value)}, by")
        self.sql.value = number.sql
        self.sql.rows = number.sql.count("\n") + 2
        self.result.value = ""
        self.origin.layout.display = ""

    def run(self) -> None:
        """Run the SQL that is shown, as it stands or as it was changed, and show what it gives."""
        began = perf_counter()
        found = self.bench.sql(self.sql.value)
        rows = found.limit(2).fetchall() if found is not None else []
        took = f"{(perf_counter() - began) * 1000:,.0f} ms"
        if len(rows) == 1 and len(rows[0]) == 1:
            self._told(f"{shown(rows[0][0])}   ({took})")
        else:
            more = "more than one row" if len(rows) > 1 else "no row" if not rows else ", ".join(map(shown, rows[0]))
            self._told(f"{more}   ({took}); bench.sql gives all of them")

    def tell(self, text: str, tone: str = "") -> None:
        """Show a sentence above the table."""
        self.message.value = line(text, tone)

    def _told(self, text: str, tone: str = "") -> None:
        self.result.value = line(text, tone)

    # ------------------------------------------------------------------ by itself

    def _follow(self) -> None:
        """Look again by itself, or no more."""
        if self._ticker:
            self._ticker.stop(0)
            self._ticker = None
        if self.auto.value:
            # A panel that nobody holds must not be kept by its own thread.
            panel = weakref.ref(self)
            self._ticker = Ticker(lambda: look(panel), lambda: wait(panel), "status panel")

    def _viewed(self, change: Any) -> None:
        """The panel was shown once more, or its cell was run anew or cleared."""
        self._seen = self._seen or bool(change["new"])
        if change["new"] and not (self._ticker and self._ticker.alive):
            self._follow()

    @property
    def unseen(self) -> bool:
        """Whether it was shown and is no more."""
        return self._seen and not self.view._view_count

    def close(self) -> None:
        """Look no more, and leave the screen."""
        if self._ticker:
            self._ticker.stop()
            self._ticker = None
        super().close()

    # ------------------------------------------------------------------ draw

    def _draw(self) -> None:
        """Show what was read; what did not change is not sent again."""
        self.title.html, self.health.html, self.table.html = self._head(True), self._checks(True), self._tables(True)

    def static(self) -> str:
        """The checks and the table as they were read last."""
        return str(self.message.value) + self._head(False) + self._checks(False) + self._tables(False) + str(self.read_at.value)

    def _head(self, live: bool) -> str:
        facts = self._status.facts
        if not self._status:
            return f"<div>{escape(self.bench.lake.where)}: no rows yet. A refresh lands some.</div>"
        told = {"rows": shown(facts["total_rows"]), "tables": str(self.numbers["lake.tables"].value), "bytes": sized(facts["total_bytes"])}
        cells = {name: self._cell(f"lake.{name}", None, text, live) for name, text in told.items()}
        rest = self._status.title.partition("tables, ")[2].partition(", ")[2]
        more = f", {escape(rest)}" if rest else ""
        return (
            f"<div><b>{escape(self.bench.lake.where)}</b>: {cells['rows']} rows in {cells['tables']} tables, {cells['bytes']}{more}</div>"
        )

    def _checks(self, live: bool) -> str:
        body = "".join(
            f'<tr><td class="text" style="color:{MARKS[one["state"]][1]}" title="{one["state"]}">{MARKS[one["state"]][0]}</td>'
            f'<td class="text">{escape(one["name"])}</td><td>{self._check(one, live)}</td><td class="told">{escape(one["told"])}</td></tr>'
            for one in self._health
        )
        return f"<div style='margin:6px 0 2px'>{escape(self._health.title)}</div><table><tbody>{body}</tbody></table>"

    def _check(self, one: Mapping[str, Any], live: bool) -> str:
        if one["value"] is None:
            return ""
        text = measured(one["value"], one["unit"])
        return self._cell(f"health.{one['name']}", one["value"], text, live)

    def _tables(self, live: bool) -> str:
        if not self._status:
            return ""
        head = "".join(f'<th class="{"text" if name == "table" else ""}">{escape(text)}</th>' for name, text in HEADS.items())
        body = "".join(f"<tr>{''.join(self._of(one, name, live) for name in HEADS)}</tr>" for one in self._status)
        return f"<table style='margin-top:8px'><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def _of(self, one: Mapping[str, Any], name: str, live: bool) -> str:
        """A cell of the table; what is not as it should be stands out."""
        if name == "table":
            return f'<td class="text">{escape(one[name])}</td>'
        cell = f"{one['table']}.{name}"
        if cell not in self.numbers:
            return "<td></td>"
        value = self.numbers[cell].value
        text = sized(value) if name == "bytes" else since(value) if name == "landed_at" else shown(value)
        odd = name in WELL and value != WELL[name]
        colour = f' style="color:{MARKS["look"][1]};font-weight:600"' if odd else ""
        return f"<td{colour}>{self._cell(cell, value, text, live)}</td>"

    def _cell(self, name: str, value: Any, text: str, live: bool) -> str:
        """A number, to be clicked where there is a kernel; where there is none, its SQL is what hovers over it."""
        number = self.numbers.get(name)
        if live and number:
            return clickable(name, value, text)
        return f'<span title="{escape(number.sql)}">{escape(text)}</span>' if number else escape(text)


def measured(value: float, unit: str) -> str:
    """A check's number as a person reads it."""
    if unit == "bytes":
        return sized(value)
    if unit == "hours":
        return f"{value * 60:,.0f} minutes ago" if value < 2 else f"{value:,.0f} hours ago" if value < 72 else f"{value / 24:,.0f} days ago"
    return f"{value:,.1f} s" if unit == "seconds" else f"{value:,.0f} {unit}"


def since(at: datetime) -> str:
    """When something landed, short: the minute."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M}"


def look(panel: "weakref.ref[StatusPanel]") -> bool:
    """Have a panel look again; False if there is none any more, or nobody wants it to, or sees it."""
    one = panel()
    if one is None or not one.auto.value or one.unseen:
        return False
    one._reload()
    return True


def wait(panel: "weakref.ref[StatusPanel]") -> float:
    """The seconds until a panel looks again."""
    one = panel()
    return max(LEAST_SECONDS, float(one.seconds.value)) if one else 0
