"""Symbols as the vendor writes them, and as Yahoo does.

The vendor writes the symbols of the consolidated tape, in which lower case has a meaning: BACpL is a preferred share, BACPL would be another
company. Yahoo writes suffixes after a hyphen and knows capitals only; yfinance turns everything into capitals, so symbols are turned into
Yahoo's before it sees them. What has no symbol there has none here: a guess would bring the prices of something else.

| what | vendor | Yahoo |
| --- | --- | --- |
| class of shares | BRK.B | BRK-B |
| preferred | XXXp, BACpL | XXX-P, BAC-PL |
| warrants, of a series | XXX.WS, XXX.WS.A | XXX-WT, XXX-WTA |
| units | XXX.U | XXX-UN |
"""

import re

_PLAIN = re.compile(r"[A-Z]{1,6}")
# Most special first: a unit is written as a class U would be.
_OURS = (
    (re.compile(r"([A-Z]{1,6})\.WS(?:\.([A-Z]))?"), "-WT"),
    (re.compile(r"([A-Z]{1,6})\.U"), "-UN"),
    (re.compile(r"([A-Z]{1,6})p([A-Z])?"), "-P"),
    (re.compile(r"([A-Z]{1,6})\.([A-Z])"), "-"),
)
_THEIRS = (
    (re.compile(r"([A-Z]{1,6})-WT([A-Z])?"), ".WS", "."),
    (re.compile(r"([A-Z]{1,6})-UN"), ".U", ""),
    (re.compile(r"([A-Z]{1,6})-P([A-Z])?"), "p", ""),
    (re.compile(r"([A-Z]{1,6})-([A-Z])"), ".", ""),
)
_ABSENT = (
    (re.compile(r"[A-Z.]+(p[A-Z]?)?r?w"), "shares that are traded when issued have no symbol there"),
    (re.compile(r"[A-Z.]+r"), "rights have no symbol there"),
    (re.compile(r"[A-Z.]+(p[A-Z]?)?\.(WD|CL)"), "shares that are called or traded when distributed have no symbol there"),
)


def to_yahoo(ticker: str) -> str:
    """Yahoo's symbol of one of the vendor's; empty if it has none that can mean nothing else."""
    symbol = _suffixed(ticker)
    # XXX.P and XXXp would both be XXX-P: what does not come back as it went is not asked.
    return symbol if symbol and from_yahoo(symbol) == ticker else ""


def from_yahoo(symbol: str) -> str:
    """The vendor's symbol of one of Yahoo's; empty if there is none."""
    if _PLAIN.fullmatch(symbol):
        return symbol
    for form, suffix, joint in _THEIRS:
        if match := form.fullmatch(symbol):
            last = match[2] if form.groups > 1 else None
            ticker = f"{match[1]}{suffix}{joint + last if last else ''}"
            return ticker if _suffixed(ticker) == symbol else ""
    return ""


def why_not(ticker: str) -> str:
    """Why a symbol has none at Yahoo, as an error says it; empty if it has one."""
    if to_yahoo(ticker):
        return ""
    if symbol := _suffixed(ticker):
        return f"{symbol} is {from_yahoo(symbol)} there"
    for form, reason in _ABSENT:
        if form.fullmatch(ticker):
            return reason
    bare = ticker.strip()
    meant = next((guess for guess in (bare, bare.upper(), from_yahoo(bare.upper())) if guess != ticker and to_yahoo(guess)), "")
    return f"it is no symbol as the vendor writes them{f'; did you mean {meant}?' if meant else ''}"


def _suffixed(ticker: str) -> str:
    """A symbol with its suffix as Yahoo writes it; empty if it has no form that Yahoo knows."""
    if _PLAIN.fullmatch(ticker):
        return ticker
    for form, suffix in _OURS:
        if match := form.fullmatch(ticker):
            last = (match[2] or "") if form.groups > 1 else ""
            return f"{match[1]}{suffix}{last}"
    return ""
