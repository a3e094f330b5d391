"""What is looked at before a refresh fetches anything."""

from workbench.errors import UsageError
from workbench.lake import lone_days, rollups
from workbench.lake.remote.where import remote_of
from workbench.lake.store import Lake
from workbench.tables import LONE_DAYS, ROLLUPS, TABLES


def waiting(lake: Lake) -> list[str]:
    """The tables that the lake makes of its own rows and that are behind them."""
    return [LONE_DAYS.name] * lone_days.waiting(lake) + [one.name for one in ROLLUPS if rollups.waiting(lake, one)]


def guard(lake: Lake, source: str) -> None:
    """Raise `UsageError` before made-up rows and real ones meet in one lake."""
    held = {landing.source for name in TABLES for landing in lake[name].landings().values() if landing.retired != "reset"}
    if held and (source == "sample") != ("sample" in held):
        what, which = ("real data", "sample data") if source == "sample" else ("sample data (made-up prices)", "real data")
        ways = (
            "prefix."
            if remote_of(lake.root)
            else f"folder, or remove this lake first: rm -r {lake.root / 'lake'} {lake.root / 'quarantine'}"
        )
        raise UsageError(
            f"the lake in {lake.where} holds {what}; {which} was not mixed into it and nothing was fetched. Set WORKBENCH_DATA to another {ways}"
        )
