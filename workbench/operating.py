"""What operates a lake that people depend on: backup and restore, point in time, upgrades, and how it is doing."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.arguments import as_age, as_instant, as_version
from workbench.config import Settings
from workbench.errors import UsageError
from workbench.lake.store import Lake
from workbench.query.report import Report

if TYPE_CHECKING:
    from workbench.lake.backup.making import Say
    from workbench.query.metrics import Metrics
    from workbench.reading import Reading


class Operating:
    """The verbs that operate the lake of a workbench."""

    settings: Settings
    lake: Lake
    # What `Workbench` has, and metrics need.
    snapshots: Any
    _metrics: "Metrics | None" = None

    # ------------------------------------------------------------------ backup

    def backup(
        self,
        destination: str | Path | None = None,
        *,
        keep: str | timedelta | None = None,
        recipients: Sequence[str] = (),
        identities: Sequence[str] = (),
        say: "Say | None" = None,
    ) -> Report:
        """Keep a snapshot of the whole lake in a folder or at s3://bucket/prefix (default: WORKBENCH_BACKUP), beside whoever writes.

        What the place has already is not copied again. `keep`, an age as 30d, removes older snapshots afterwards, never the newest. With `recipients`, age's
        public keys or files of them, all is encrypted; later backups there are without being told. `say` is called with the files done, all files and the
        bytes copied. Raises `UsageError`, `Busy` or `LakeError`; there is no new snapshot then, and the old ones are as they were.
        """
        from workbench.query import backing

        age = None if keep is None else as_age(keep)
        where, known = self.backups_at(destination), self.identities_of(identities)
        return backing.made(self.lake, self.settings, where, keep=age, recipients=recipients, identities=known, say=say)

    def backups(self, destination: str | Path | None = None, *, identities: Sequence[str] = ()) -> Report:
        """The snapshots at a place, the newest last: when, which lake, tables, rows, files and bytes. Of sealed ones without an identity only when."""
        from workbench.query import backing

        return backing.listed(self.backups_at(destination), self.identities_of(identities))

    def verify_backup(
        self,
        destination: str | Path | None = None,
        snapshot: str | None = None,
        *,
        quick: bool = False,
        identities: Sequence[str] = (),
        say: "Say | None" = None,
    ) -> Report:
        """Whether a place holds what its snapshots (default: all) say. A row for each file that is missing or altered.

        Reads every byte and compares its sha256; `quick` looks for the objects and their sizes alone.
        """
        from workbench.query import backing

        return backing.verified(
            self.lake, self.backups_at(destination), snapshot, quick=quick, identities=self.identities_of(identities), say=say
        )

    def prune_backups(self, destination: str | Path | None = None, keep: str | timedelta = "30d", *, dry_run: bool = True) -> Report:
        """Remove the snapshots older than `keep`, never the newest, and what no snapshot holds any more. A dry run, the default, says what would be."""
        from workbench.query import backing

        return backing.pruned(self.backups_at(destination), as_age(keep), str(keep), dry_run=dry_run)

    def backups_at(self, destination: str | Path | None) -> str:
        """The place that is meant. Raises `UsageError` if none is."""
        where = str(destination or "") or self._from_project(self.settings.backup)
        if not where:
            raise UsageError(
                "no place for backups was named; nothing was done. Give a folder or s3://bucket/prefix, or set WORKBENCH_BACKUP."
            )
        return where

    def identities_of(self, given: Sequence[str]) -> list[str]:
        """The files of secret keys that are given, or else the one that is set."""
        return list(given) or list(filter(None, [self._from_project(self.settings.backup_identity)]))

    def _from_project(self, path: str) -> str:
        """A path of the settings: a relative one is told from the project's folder."""
        return path if not path or "://" in path else str(self.settings.project / Path(path).expanduser())

    # ------------------------------------------------------------------ restore

    def drill(
        self,
        destination: str | Path | None = None,
        snapshot: str | None = None,
        *,
        identities: Sequence[str] = (),
        keep: bool = False,
        say: "Say | None" = None,
    ) -> Report:
        """Prove that a backup restores: a snapshot (default: the newest) is restored to a folder of its own, verified, and compared with the lake.

        A row for each table: rows, a hash of them, and whether they are those of the lake at the snapshot's version or, where the lake has that no more,
        those of the manifest. `report.facts["good"]` is the whole of it. `keep` leaves the folder, named in `report.facts["root"]`; `say` is called with
        the files done, all files and the bytes done. Raises `BrokenBackup` for a file that is missing or altered, `LakeError` where there is no room for it.
        """
        from workbench.query import drilling

        where, known = self.backups_at(destination), self.identities_of(identities)
        return drilling.report(drilling.drill(self.lake, self.settings, where, snapshot, identities=known, keep=keep, say=say))

    # ------------------------------------------------------------------ point in time

    def rewind(
        self,
        tables: str | Sequence[str] | None = None,
        *,
        as_of: str | datetime | None = None,
        version: int | None = None,
        dry_run: bool = False,
    ) -> Report:
        """Take tables (default: all) back to how they were at an instant, or one table to a version of it. A dry run says what would go and come.

        A commit for each, which lists the files of then: nothing leaves the disk, `history` shows it, and rewinding to the version of before takes it
        back. A refresh brings again what its sources have and the table lacks. Tables that people write go back to what was folded by the instant;
        their rows in the journal are folded before. Safe to ask for again after a crash. Raises `BadRange` before the first commit and for an
        instant to come, `UsageError`, `LakeError` where vacuum has removed files of then, and `Busy` while a table is refreshed or compacted.
        """
        from workbench.query import pasts

        return pasts.rewound(self.lake, tables, as_instant(as_of), version, dry_run=dry_run)

    def history(self, table: str, limit: int | None = None) -> Report:
        """What happened to a table: a row for each commit, newest first, with who made it, what for, from which source, sessions, rows and files.

        `limit` is the number of commits. Raises `UnknownName`, `UsageError` for a table that holds nothing, and `LakeError` for a damaged log.
        """
        from workbench.query import pasts

        return pasts.history(self.lake, table, limit)

    def diff(self, table: str, old: int | str | datetime, new: int | str | datetime | None = None, limit: int | None = 100) -> Report:
        """How a version of a table differs from another (default: the newest), each a number or an instant: rows added, removed and changed, by key.

        The facts count them, and the columns that differ; the rows of the report are the first `limit` of them (None: all), with their values before
        and after. Reads those files alone that one of the versions has, and none where all commits in between wrote the same rows anew. Raises
        `UnknownName`, `UsageError`, `BadRange`, and `LakeError` where vacuum has removed files.
        """
        from workbench.query import pasts

        first = as_version(old)
        assert first is not None
        return pasts.diff(self.lake, self.settings, table, first, as_version(new), limit)

    # ------------------------------------------------------------------ upgrades

    def migrate(self, *, dry_run: bool = True) -> Report:
        """Bring a lake that an earlier version of the library made to the present format. A dry run, the default, says what would be done.

        A row for each step: the lake's name and format, columns that tables declare and the lake lacks (NULL in rows of before), settings of tables,
        the journals' tables. No row is rewritten. Safe to ask for again after a crash. Raises `NewerLake` for a later format.
        """
        from workbench.query import pasts

        return pasts.migrated(self.lake, dry_run=dry_run)

    # ------------------------------------------------------------------ how it is doing

    def metrics(self) -> str:
        """Numbers of the lake and of this process in Prometheus's text format: tables, freshness, health, runs, backups, queries, disk, memory.

        Reads no rows; what the lake tells is up to five seconds old. Raises `MissingExtra` without prometheus-client.
        """
        from workbench.query.metrics import Metrics
        from workbench.runs.record import Runs

        if self._metrics is None:
            self._metrics = Metrics(self.lake, self.settings, self.snapshots, partial(Runs, self.lake.root))
        return self._metrics.text()

    # ------------------------------------------------------------------ who may

    def reading(self, schemas: Sequence[str] | None = None) -> "Reading":
        """The same lake for whoever may only read it: every verb that writes raises `NotAllowed`, and so does any SQL but a query.

        `schemas` are those whose tables may be named (None: all of them); with some, what looks at the whole lake is not allowed either. Close it as
        any bench. Raises `UnknownName` for a schema.
        """
        from workbench.reading import Reading

        return Reading(self.settings, getattr(self, "_as_of", None), schemas)
