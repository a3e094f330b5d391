"""What keeps a lake: proof, upkeep, reset. The part of the workbench that changes what is there without fetching anything."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from workbench.arguments import as_age
from workbench.config import Settings
from workbench.lake.store import Lake
from workbench.query.report import Report
from workbench.tables import TABLES, find
from workbench.tables.platforms import record


class Keeping:
    """The verbs that keep the lake of a workbench."""

    settings: Settings
    lake: Lake

    def verify(self, tables: Sequence[str] | None = None, *, quick: bool = False) -> Report:
        """The lake against itself: log, files, statistics, rows, keys, landing records. A row for each finding, with what mends it.

        `quick` reads the log and the files' footers, and no rows. Raises `UnknownName` for a table that is not declared.
        """
        from workbench.lake.verify import verify
        from workbench.query import upkeep

        wanted = [record(name).full if "." in name else find(name).name for name in tables or ()] or None
        return upkeep.verified(self.lake.root, verify(self.lake, wanted, deep=not quick, scratch=self.settings.scratch))

    def vacuum(self, keep: str | timedelta = "7 days", *, dry_run: bool = True) -> Report:
        """Remove files that were replaced longer than `keep` ago and that no open bench may read, and files that were never committed.

        A dry run, the default, says what would be removed. Afterwards `as_of` reaches back for `keep`.
        """
        from workbench.lake.vacuum import vacuum
        from workbench.query import upkeep

        found = vacuum(self.lake, as_age(keep), dry_run=dry_run)
        return upkeep.vacuumed(self.lake.root, found, str(keep), as_age(keep), dry_run=dry_run)

    def compact(
        self, tables: Sequence[str] | None = None, chunk: str | None = None, *, everything: bool = False, ranges: bool = False
    ) -> Report:
        """Write chunks that are complete as cold files, cut by ticker and in order. A row for each: files, rows and bytes before and after.

        `chunk` names one to write now, complete or not; `everything` takes all. `ranges` decides where tables are cut anew, from their
        newest sessions, and writes every chunk by it; killed, it goes on where it was. Raises `UnknownName`, `BadRange` or `UsageError`.
        """
        from workbench.lake import maintain
        from workbench.query import tiers

        named = [self.lake[find(name).name] for name in tables] if tables else [self.lake[name] for name in TABLES]
        tasks = [
            task
            for table in named
            for task in (maintain.reranged(table) if ranges else maintain.asked(table, chunk, everything=everything))
        ]
        return tiers.upkept(self.lake.root, maintain.run(tasks))

    def retain(self, *, dry_run: bool = True) -> Report:
        """Move what is older than `[retention]` in workbench.toml keeps it to `ohlcv_archive`, or drop it. A dry run, the default, says what."""
        from workbench.lake import maintain, retention
        from workbench.query import tiers

        if dry_run:
            plan = retention.plan(self.lake, self.settings.retention)
            return tiers.leaving(self.lake.root, plan, policies=len(self.settings.retention))
        return tiers.upkept(self.lake.root, maintain.run(maintain.leaving(self.lake, self.settings)))

    def maintain(self, seconds: float | None = None) -> Report:
        """All upkeep that is due: clean, vacuum, retain by `[retention]`, compact. No task is begun when so many seconds have passed.

        Raises `Busy` while another process does the same.
        """
        from workbench.lake import maintain
        from workbench.query import tiers

        notes = [f"[retention] in workbench.toml: {name}: {policy}." for name, policy in self.settings.retention.items()]
        return tiers.upkept(self.lake.root, maintain.maintain(self.lake, self.settings, seconds), notes)

    def reset(self, scope: str | Sequence[str], *, dry_run: bool = False) -> Report:
        """Empty tables, so that a refresh fills them anew: tables by name, a platform's (`"shrek"`), or `"all"`. A dry run says what would go.

        Files stay until vacuum removes them, and `undo_reset` brings everything back so long. Raises `UnknownName`, and `Busy` while one of the
        tables is being refreshed or compacted.
        """
        from workbench.lake import reset
        from workbench.lake.locks import refreshing
        from workbench.query import resetting

        tables = reset.scope(scope)
        if dry_run or not self.lake.exists:
            return resetting.planned(self.lake.root, reset.plan(self.lake, tables))
        with refreshing(self.lake.root, tables, "workbench reset"):
            return resetting.told(self.lake.root, reset.reset(self.lake, tables))

    def undo_reset(self, tables: Sequence[str] | None = None, *, id: str | None = None, dry_run: bool = False) -> Report:
        """Bring back what the newest reset took out, or one by its `id`; with `tables`, what the newest of each of them did.

        A dry run says what would come back. Raises `UsageError` if there is nothing to undo, and `LakeError` if vacuum has removed files or
        sessions have landed again since.
        """
        from workbench.lake import reset
        from workbench.lake.locks import refreshing
        from workbench.query import resetting

        named = reset.scope(tables) if tables else None
        past = reset.restorable(self.lake, named, id)
        if dry_run:
            return resetting.planned(self.lake.root, reset.plan_undo(self.lake, past), undo=True)
        with refreshing(self.lake.root, [one.table for one in past], "workbench reset --undo"):
            return resetting.told(self.lake.root, reset.undo(self.lake, named, id), undo=True)

    def clean(self, *, cache: bool = False, dry_run: bool = True) -> Report:
        """Remove what processes that are no more left in the folders for work. A dry run, the default, says what would be removed.

        With `cache` what this machine holds of the data of a lake on s3:// goes, too, which is fetched again when it is asked for. Logs, rows that are not
        folded yet, and files that were used within a minute stay.
        """
        from workbench.lake.leftovers import clean
        from workbench.query import upkeep

        spill = Path(self.settings.temp) if self.settings.temp else None
        found = clean(self.lake.root, self.settings.scratch, spill, dry_run=dry_run)
        return upkeep.cleaned(self.lake.root, found, dry_run=dry_run, cache=cache)
