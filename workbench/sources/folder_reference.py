"""Reference data from a folder: `reference/*.json`, in the shape of the vendor's REST replies.

A file is an object with `results`, as a reply is, or the bare list of them. Its name says which reply: `splits.json`, `dividends.json`,
`ticker_changes.json` and so on; a page, `splits-2.json`, is part of its list.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from workbench.errors import BrokenAnswer, NotPublished
from workbench.sources import Verdict
from workbench.sources import reference_replies as replies
from workbench.sources import reference_reports as reports
from workbench.sources.reference import Gathered, Refused, Row
from workbench.sources.reference_replies import Maker, made

Made = tuple[list[Row], list[Refused]]
# Where the files are, under a bucket's root and under a folder that holds one. The inner one first: other things are called reference, too.
PLACES = ("flatfiles/reference", "reference")
PAGE = re.compile(r"(?P<name>[a-z_]+?)(?:[-_.]?(?P<page>\d+))?\.json", re.IGNORECASE)


def by(maker: Maker) -> Callable[[Sequence[Any]], Made]:
    """Rows of a list of records, made one by one."""
    return lambda records: made(records, maker)


def changes(records: Sequence[Any]) -> Made:
    """Ticker changes: replies of events, or a list of assets, symbols and last days."""
    if any(isinstance(one, dict) and "events" in one for one in records):
        return made(records, replies.events)
    return replies.spells(records)


def conditions(records: Sequence[Any]) -> Made:
    """Conditions of trades and of quotes."""
    rows, refused = made(records, replies.condition)
    return replies.without_legacy(rows)[0], refused


# Which dataset the files of a name fill, and how. Of several names of one dataset all are read.
FILES: dict[str, tuple[str, Callable[[Sequence[Any]], Made]]] = {
    "tickers": ("tickers", by(replies.ticker)),
    "ticker_changes": ("ticker_changes", changes),
    "ticker_events": ("ticker_changes", changes),
    "splits": ("splits", by(replies.split)),
    "dividends": ("dividends", by(replies.dividend)),
    "conditions": ("conditions", conditions),
    "exchanges": ("exchanges", by(replies.exchange)),
    "news": ("news_items", by(replies.article)),
    "financials": ("fundamentals", lambda records: reports.joined([(records, reports.financials)])),
    "income_statements": ("fundamentals", lambda records: reports.joined([(records, reports.statement(reports.INCOME))])),
    "balance_sheets": ("fundamentals", lambda records: reports.joined([(records, reports.statement(reports.BALANCE))])),
    "cash_flow_statements": ("fundamentals", lambda records: reports.joined([(records, reports.statement(reports.CASH_FLOW))])),
    "ratios": ("fundamentals", lambda records: reports.joined([(records, reports.ratios)])),
    "treasury_yields": ("economic_series", by(replies.observation)),
    "inflation": ("economic_series", by(replies.observation)),
    "inflation_expectations": ("economic_series", by(replies.observation)),
    "labor_market": ("economic_series", by(replies.observation)),
    "ipos": ("calendar_events", by(replies.ipo)),
    "holidays": ("calendar_events", replies.holidays),
}


class FolderReference:
    """A folder's `reference/*.json` as a source. `root` is a bucket's root, or a folder that holds `flatfiles/`."""

    def __init__(self, root: Path):
        self.root = root
        self.name = "folder"
        self._stopped = False

    @property
    def place(self) -> Path | None:
        """Where its files are; None if it has none."""
        return next((path for name in PLACES if (path := self.root / name).is_dir()), None)

    def refuses(self, dataset: str) -> str:
        """Why it cannot serve a dataset; empty if it can."""
        names = [name for name, (fills, _) in FILES.items() if fills == dataset]
        if not names:
            return f"no file of a folder fills {dataset}"
        if self.place is None:
            return f"{self.root} has no folder reference/"
        if not self._files(dataset):
            return f"{self.place} has no {' or '.join(f'{name}.json' for name in names)}"
        return ""

    def gather(self, dataset: str, *, since: date | None = None, symbols: Sequence[str] = ()) -> Iterator[Gathered]:  # noqa: ARG002
        """What the files say, a file at a time; they are read whole, whatever `since` and `symbols` say.

        Raises `NotPublished` if no file is of the dataset, and `BrokenAnswer` for one that cannot be read.
        """
        self._stopped = False
        if reason := self.refuses(dataset):
            raise NotPublished(f"{reason}; nothing was gathered. Put the vendor's reply there under that name.")
        notes = self._unknown()
        for path, maker in self._files(dataset):
            if self._stopped:
                return
            records, about = read(path)
            rows, refused = maker(records)
            yield Gathered(dataset, f"folder:reference/{path.name}", rows, notes=(*notes, *about), refused=tuple(refused))
            notes = ()

    def identity(self, dataset: str) -> str:
        """A hash of the dataset's files: as long as it stays, gathering them again changes nothing. Empty if one cannot be read."""
        told = hashlib.sha256()
        try:
            for path, _ in self._files(dataset):
                told.update(f"{path.name}\n".encode() + path.read_bytes())
        except OSError:
            return ""
        return told.hexdigest()

    def _files(self, dataset: str) -> list[tuple[Path, Callable[[Sequence[Any]], Made]]]:
        """A dataset's files, by name and page, with what makes rows of each."""
        matched = [(match, path) for path in (self.place.glob("*.json") if self.place else ()) if (match := PAGE.fullmatch(path.name))]
        pages = [(int(match["page"] or 0), path.name, path, FILES.get(match["name"].lower())) for match, path in matched]
        return [(path, fills[1]) for _, _, path, fills in sorted(pages, key=lambda one: one[:2]) if fills and fills[0] == dataset]

    def _unknown(self) -> tuple[str, ...]:
        """A note about files of which nobody knows what they fill."""
        assert self.place
        odd = sorted(
            path.name
            for path in self.place.iterdir()
            if not path.name.startswith(".") and not ((match := PAGE.fullmatch(path.name)) and match["name"].lower() in FILES)
        )
        return (f"{self.place} also holds {', '.join(odd[:5])}{' and more' * (len(odd) > 5)}, which fill no table",) if odd else ()

    def stop(self) -> None:
        """Read no further file."""
        self._stopped = True

    def check(self) -> Verdict:
        """Whether there are files."""
        if self.place is None:
            return Verdict("folder", "unreachable", f"{self.root} has no folder reference/")
        return Verdict("folder", "works", f"{self.place} holds {len(list(self.place.glob('*.json')))} files")

    def close(self) -> None:
        """Nothing to give back."""


def read(path: Path) -> tuple[list[Any], tuple[str, ...]]:
    """The records of a file, and what a user should know of it. Raises `BrokenAnswer` for one that is no reply."""
    try:
        told = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as fault:
        raise BrokenAnswer(
            f"{path} is not JSON ({fault}); nothing of it was gathered. Fetch the reply again, or remove the file."
        ) from fault
    except OSError as fault:
        raise BrokenAnswer(
            f"{path} cannot be read ({fault.strerror}); nothing of it was gathered. Give yourself the right to read it."
        ) from fault
    found = told.get("results") if isinstance(told, dict) else told
    if isinstance(found, dict):
        found = [found]
    if not isinstance(found, list):
        said = told.get("error") or told.get("message") if isinstance(told, dict) else None
        why = f"it says: {str(said)[:200]}" if said else "it has no list of results"
        raise BrokenAnswer(f"{path} is not a reply of the vendor ({why}); nothing of it was gathered. Fetch the reply again.")
    pages = isinstance(told, dict) and told.get("next_url")
    return found, (f"{path.name} is one page of several: its next_url was not followed",) if pages else ()
