"""A workbench whose sources are far ends on loopback, and flat files for its bucket; the fixture `settings` goes with it."""

import gzip
from datetime import date
from pathlib import Path

from flatfiles import BAR, STOCK_DAY, text
from s3server import StandIn

from workbench.bench import Workbench
from workbench.config import Settings


def opened(settings: dict[str, str], **more: str) -> Workbench:
    return Workbench(Settings.load(env=settings | more, start=Path("/")))


def publish(stand_in: StandIn, day: date, *lines: str) -> None:
    stand_in.put(STOCK_DAY.key_of(STOCK_DAY.feeds[0], day), gzip.compress(text(lines, BAR), mtime=0))
