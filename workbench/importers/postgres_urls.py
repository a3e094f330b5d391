"""Where a PostgreSQL database is, as people write it and as libpq takes it, and what of its errors may be told."""

import re
from collections.abc import Mapping
from urllib.parse import unquote

from workbench.errors import BadKeys, MissingExtra, SourceError, Unreachable, UsageError

MASK = "***"
SCHEME = re.compile(r"^\w+(\+\w+)?://")
# A connection that carries nothing any more is given up after some 60 s, where the system would wait for hours.
DEFAULTS = {
    "application_name": "workbench",
    "client_encoding": "UTF8",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
}
SECRET = ("password", "sslpassword", "scram_client_key", "scram_server_key", "oauth_client_secret")
# What SQLSTATE says of an answer, by its beginning, the longest that fits.
STATES: Mapping[str, type[SourceError]] = {
    "28": BadKeys,
    "08": Unreachable,
    "57P": Unreachable,
    "53": Unreachable,
}
# PostgreSQL gives no code for a connection that does not come about: only words, in English unless the server was told otherwise.
REFUSED = re.compile(
    r"password authentication failed|no password supplied|role .* (does not exist|is not permitted to log in)|no pg_hba\.conf entry"
    r"|pg_hba\.conf rejects|authentication failed|password retrieved|requires a valid client certificate|certificate authentication",
    re.IGNORECASE,
)
TLS = re.compile(
    r"certificate verify failed|root certificate|server certificate|does not support SSL|SSL error|tlsv1|sslmode|private key file|ssl",
    re.IGNORECASE,
)
NO_DATABASE = re.compile(r"database .* does not exist|is not currently accepting connections", re.IGNORECASE)


class Address:
    """A database's address: `label` tells it without user and password. Raises `UsageError` for what is none, `MissingExtra` without psycopg."""

    def __init__(self, url: str, timeout: float):
        try:
            from psycopg import ProgrammingError, conninfo, pq
        except ImportError as fault:
            raise MissingExtra(
                "psycopg is not installed, which PostgreSQL needs; nothing was done. Install it with `pip install 'workbench[import]'`."
            ) from fault
        asked = SCHEME.sub("postgresql://", url.strip())
        spelt(asked)
        try:
            given = {
                name: str(value)
                for name, value in conninfo.conninfo_to_dict(asked.replace("?ssl=", "?sslmode=")).items()
                if value is not None
            }
        except ProgrammingError as fault:
            reason = str(fault).strip()
        else:
            reason = ""
        if reason:
            # Outside of the handler: libpq's own words, which would be told as its cause, quote the address.
            raise UsageError(f"{unreadable(asked)}: {quoteless(reason)}. {ADVICE}")
        ports = given.get("port", "")
        if not re.fullmatch(r"(\d{1,5}(,|$))*", ports) or "@" in given.get("host", ""):
            raise UsageError(f"{unreadable(asked)}: its port is no number. {ADVICE}")
        # Whole seconds only, and libpq makes 2 of 1.
        waits = {"connect_timeout": str(max(2, round(timeout)))}
        self.parameters: dict[str, str] = {**DEFAULTS, **waits, **given}
        self.secrets = secrets([given.get(name, "") for name in SECRET])
        told = {one.keyword.decode(): one.val.decode(errors="replace") for one in pq.Conninfo.get_defaults() if one.val is not None}
        self._found = {**told, **given}

    @property
    def label(self) -> str:
        """Where it is, without user and password."""
        found = self._found
        host = found.get("host") or found.get("hostaddr") or "localhost"
        place = f"[{host}]" if ":" in host and not host.startswith("[") else host
        return f"postgresql://{place}:{found.get('port', '5432')}/{found.get('dbname') or found.get('user', '')}"

    @property
    def conninfo(self) -> str:
        """The address as libpq takes it, password included."""
        from psycopg.conninfo import make_conninfo

        return make_conninfo("", **self.parameters)

    def hidden(self, text: str) -> str:
        """A text without the address's passwords."""
        for one in self.secrets:
            # A short password stands in many a word; where it is one of its own is where it would be told.
            text = text.replace(one, MASK) if len(one) > 3 else re.sub(rf"(?<![^\W_]){re.escape(one)}(?![^\W_])", MASK, text)
        return text

    def unreached(self, fault: Exception) -> SourceError | UsageError:
        """What a failed connection means."""
        text = self.hidden(plain(fault))
        if NO_DATABASE.search(text):
            return UsageError(f"{self.label} holds no such database ({text}); nothing was done. Name one that is there.")
        if REFUSED.search(text):
            return BadKeys(f"{self.label} refuses the user or password ({text}); nothing was done. Give those that it knows.")
        if re.search(r"timeout expired|could not translate|Connection refused|No such file|No route|unreachable", text):
            return Unreachable(f"{self.label} does not answer ({text}); nothing was done. Is it running, and reachable from here?")
        if TLS.search(text):
            return SourceError(
                f"no safe connection to {self.label} came about ({text}); nothing was done. Its certificate must be signed by what "
                "sslrootcert names, and carry the host's name for sslmode=verify-full."
            )
        return Unreachable(f"{self.label} could not be opened ({text}); nothing was done. Is it running, and reachable from here?")

    def failed(self, fault: Exception, what: str, after: str) -> SourceError:
        """What a failure in the middle means; `what` was not done, `after` says what to do."""
        text, state = self.hidden(plain(fault)), str(getattr(fault, "sqlstate", None) or "")
        lost = not state and re.search(
            r"connection|server closed|terminat|SSL SYSCALL|timed? ?out|no COPY in progress|could not receive", text, re.IGNORECASE
        )
        kind = next((kind for start, kind in STATES.items() if state.startswith(start) and state != "57014"), SourceError)
        if lost or kind is Unreachable:
            return Unreachable(f"{self.label} went away: {what} ({text}). {after}")
        return kind(f"{self.label}: {what} ({text}). {after}")


ADVICE = "Write it as postgresql://user:password@host:5432/database, with @ : / ? # and % of a password in percent (@ is %40)."


def spelt(url: str) -> None:
    """Raise `UsageError` for an address whose password ends it early: libpq would take a part of it for a host, and tell it."""
    _, mark, rest = url.partition("://")
    if not mark:
        return
    place = rest.split("?", 1)[0]
    if place.count("@") > 1 or ("@" in place and "/" in place.split("@", 1)[0]) or ("@" in rest and "@" not in place and ":" in place):
        # An @ in a query is a value's own, unless a password with a ? comes before it.
        query = rest.partition("?")[2]
        if "@" in place or not re.match(r"\w+=", query):
            raise UsageError(f"{unreadable(url)}. {ADVICE}")


def unreadable(url: str) -> str:
    """That an address cannot be read; of it only what holds no password."""
    return f"the address {SCHEME.match(url)[0] if SCHEME.match(url) else ''}… of the database cannot be read; nothing was done"  # type: ignore[index]


def quoteless(reason: str) -> str:
    """The reason that libpq gives, without what it quotes."""
    return re.sub(r'"[^"\n]*"?', "…", reason).rstrip(". \n")


def secrets(given: list[str]) -> tuple[str, ...]:
    """Passwords in every spelling in which an error might tell them, the longest first."""
    from urllib.parse import quote

    found = {form for one in given if one for form in (one, quote(one, safe=""), quote(one), unquote(one))}
    return tuple(sorted(found, key=len, reverse=True))


def plain(fault: Exception) -> str:
    """What a driver says, on one line, without what is its own."""
    text = re.sub(r"\n*Query was: .*", "", str(fault), flags=re.DOTALL)
    text = re.sub(r"^[A-Z_]+: (\[libpq\] )?(Failed to connect: |Failed to execute query: |Failed to prepare query: )?", "", text)
    text = re.sub(r"\n(LINE \d+:|\s*\^).*", "", text)
    return " ".join(text.split()).rstrip(". ")
