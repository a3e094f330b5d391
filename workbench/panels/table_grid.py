"""A page of rows as widgets: a column each, whose head sorts when it is clicked. Made of ipywidgets and HTML, without a script of our own."""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from workbench.panels.parts import widgets
from workbench.panels.table_profile import Profile
from workbench.query.rendering import DIM, NULL, Shown, cut, side

ROW_PX = 22
ARROWS = {None: "", False: " ▲", True: " ▼"}
STRIPES = ("transparent", "var(--jp-layout-color2, rgba(127,127,127,.12))")


class Grid:
    """Columns side by side. `turn` is called with the name of the one whose head was clicked."""

    def __init__(self, turn: Callable[[str], None]):
        self._turn = turn
        self._names: tuple[str, ...] = ()
        self._columns: list[Column] = []
        self.view = widgets.HBox(layout=widgets.Layout(overflow="auto", width="100%", max_width="100%"))

    def show(self, shown: Shown, sorts: Sequence[tuple[str, bool]], profiles: Mapping[str, Profile] | None) -> None:
        """Show a page."""
        names = tuple(shown.columns)
        if names != self._names:
            for one in self._columns:
                one.close()
            self._columns = [Column(name, self._turn) for name in names]
            self.view.children = [one.view for one in self._columns]
            self._names = names
        chosen = dict(sorts)
        for n, one in enumerate(self._columns):
            values = [row[n] for row in shown.rows]
            one.show(shown.types[n], values, chosen.get(one.name), None if profiles is None else profiles.get(one.name))

    def clear(self) -> None:
        """Show nothing."""
        for one in self._columns:
            one.close()
        self._columns, self._names, self.view.children = [], (), ()

    def head(self, name: str) -> Any:
        """The button that is a column's head."""
        return next(one.head for one in self._columns if one.name == name)


class Column:
    """A column: its head, type, profile, and its values on the page."""

    def __init__(self, name: str, turn: Callable[[str], None]):
        self.name = name
        self.head = widgets.Button(tooltip=f"sort by {name}", layout=widgets.Layout(margin="0 1px 0 0", width="auto", min_width="72px"))
        self.head.style.font_weight = "bold"
        self.head.on_click(lambda _: turn(self.name))
        self.type, self.profile, self.cells = (widgets.HTML(layout=widgets.Layout(margin="0", width="auto")) for _ in range(3))
        self.view = widgets.VBox([self.head, self.type, self.profile, self.cells], layout=widgets.Layout(flex="0 0 auto", min_width="72px"))

    def show(self, type_: str, values: Sequence[str | None], down: bool | None, profile: Profile | None) -> None:
        """Show values of a type; whether they are in the column's order, the greatest first; and what is known of all."""
        self.head.description = f"{cut(self.name, 28)}{ARROWS[down]}"
        self.type.value = f'<div title="{escape(type_)}" style="font-size:11px;padding:0 8px;text-align:{side(type_)};{DIM}">{escape(cut(type_, 18))}</div>'
        self.profile.value = (
            f'<div style="font-size:11px;line-height:14px;padding:2px 8px;white-space:nowrap;text-align:{side(type_)};{DIM}">{profile.html()}</div>'
            if profile
            else ""
        )
        self.profile.layout.display = "" if profile else "none"
        self.cells.value = "".join(cell(value, type_, n) for n, value in enumerate(values))

    def close(self) -> None:
        """Take the widgets away."""
        for one in (self.head, self.type, self.profile, self.cells, self.view):
            one.close()


def cell(value: str | None, type_: str, n: int) -> str:
    """A value on its line; lines are as high in every column."""
    style = f"height:{ROW_PX}px;line-height:{ROW_PX}px;padding:0 8px;white-space:nowrap;overflow:hidden;text-align:{side(type_)};background:{STRIPES[n % 2]}"
    # What breaks lines would move all rows below.
    text = NULL if value is None else escape(" ".join(value.split("\n"))) or "&nbsp;"
    return f'<div style="{style}">{text}</div>'
