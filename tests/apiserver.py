"""A small lake, served over HTTP by a server of its own on loopback."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from workbench.api.serving import beside
from workbench.api.settings import Serving
from workbench.api.tokens import Tokens
from workbench.bench import Workbench
from workbench.config import Settings


def landed(root: Path) -> None:
    """A lake of three sessions of made-up bars."""
    with Workbench(Settings.load(env={}, data=str(root))) as bench:
        bench.refresh(source="sample", datasets=["stock_day", "stock_minute"], days=3, maintain=False).run()


@dataclass
class Ground:
    """A served lake: its bench, a client without a token, and clients with one of each kind."""

    bench: Workbench
    url: str
    tokens: dict[str, str]

    @property
    def root(self) -> Path:
        return self.bench.lake.root

    def ask(self, method: str, path: str, token: str = "", **more: Any) -> httpx.Response:
        """One request; `token` is a name of `tokens`, or a token itself."""
        headers = dict(more.pop("headers", {}))
        if token:
            headers["Authorization"] = f"Bearer {self.tokens.get(token, token)}"
        return httpx.request(method, f"{self.url}{path}", headers=headers, timeout=60, trust_env=False, **more)

    def sql(self, query: str, token: str = "", **more: Any) -> httpx.Response:
        return self.ask("POST", "/sql", token, json={"query": query, **more})


@contextmanager
def ground(root: Path, serving: Serving) -> Iterator[Ground]:
    """Serve a lake, with a token of each kind."""
    kept = Tokens(root)
    for one in kept.list():
        kept.revoke(one.name)
    tokens = {
        "owner": kept.add("an-owner", "owner"),
        "app": kept.add("an-app", "app"),
        "reader": kept.add("a-reader", "reader"),
        "limited": kept.add("a-limited", "reader", ["market_data", "kraken_bot"]),
        "limited app": kept.add("a-limited-app", "app", ["kraken_bot"]),
    }
    with Workbench(Settings.load(env={}, data=str(root))) as bench, beside(bench, serving) as url:
        yield Ground(bench, url, tokens)
