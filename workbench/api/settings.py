"""How the lake is served: where, to whom, and how much of the machine a request may have."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.errors import UsageError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# More than a program that minds its manners asks in a second; what a request may cost is bounded by the slots for queries.
RATE = "500/second"
# So many tokens that are none, of one address: who tries more is not heard for a while.
WRONG_TOKENS = "20/minute"
BODY_BYTES = 10_000_000


@dataclass(frozen=True)
class Serving:
    """What `workbench serve` was told.

    `allow` are the networks that may ask (empty: all); `proxies` those whose X-Forwarded-For is believed behind a proxy. `max_rows` and `timeout` (seconds)
    bound an answer, `memory` DuckDB's for it (None: the lake's setting); `queries` run at a time, and `queue` more wait. `rate` is a
    number of requests as "500/second", of each token, or address without one. Raises `UsageError` for what cannot be.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    tls_cert: Path | None = None
    tls_key: Path | None = None
    behind_proxy: bool = False
    proxies: tuple[Network, ...] = ()
    allow: tuple[Network, ...] = ()
    max_rows: int = 100_000
    timeout: float = 30.0
    memory: str | None = None
    queries: int = 4
    queue: int = 100
    rate: str = RATE
    body_bytes: int = BODY_BYTES

    def __post_init__(self) -> None:
        from limits import parse_many

        for name in ("max_rows", "timeout", "queries", "body_bytes"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{name} is {getattr(self, name)}, but it must be more than 0; nothing was served.")
        if self.queue < 0:
            raise UsageError(f"queue is {self.queue}, but it must be 0 or more; nothing was served.")
        try:
            parse_many(self.rate)
        except ValueError as fault:
            raise UsageError(f"{self.rate!r} is no rate; nothing was served. Write it as 500/second, or 6000/minute.") from fault
        if (self.tls_cert is None) != (self.tls_key is None):
            raise UsageError("TLS takes a certificate and its key, and one was given without the other; nothing was served. Give both.")
        for file in filter(None, (self.tls_cert, self.tls_key)):
            if not file.is_file():
                raise UsageError(f"{file} is not a file; nothing was served.")

    @property
    def local(self) -> bool:
        """Whether only this machine reaches the address."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def exposed(self) -> bool:
        """Whether others than this machine's users may ask, so that everything takes a token."""
        return not self.local or self.behind_proxy

    def expect_safe(self, *, tokens: bool) -> None:
        """Raises `UsageError` for an address that others reach, without tokens, or without anything that encrypts them on their way."""
        if self.local:
            return
        if not tokens:
            raise UsageError(
                f"{self.host} can be reached from other machines, and the lake has no tokens; nothing was served. Make one with "
                "`workbench token add NAME --role reader`, or serve on 127.0.0.1."
            )
        if not (self.tls_cert or self.behind_proxy):
            raise UsageError(
                f"{self.host} can be reached from other machines, and tokens would go there for all to read; nothing was served. Give --tls-cert "
                "and --tls-key, or --behind-proxy if a proxy in front of it speaks TLS, or serve on 127.0.0.1."
            )


def networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Networks from their CIDR form; a single address is one of its own. Raises `UsageError`."""
    found = []
    for text in texts:
        try:
            found.append(ipaddress.ip_network(text.strip(), strict=False))
        except ValueError as fault:
            raise UsageError(f"{text!r} is no network ({fault}); nothing was served. Write it as 10.0.0.0/8, or 192.0.2.7.") from fault
    return tuple(found)


def address(text: str) -> Address | None:
    """An address from its text, IPv4 as such where IPv6 carries it; None for what is none."""
    try:
        found = ipaddress.ip_address(text.strip().strip("[]"))
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def within(one: Address | None, nets: Sequence[Network]) -> bool:
    """Whether an address lies in one of some networks."""
    return one is not None and any(one.version == net.version and one in net for net in nets)
