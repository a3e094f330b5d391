"""The far end by hand: `python -m farend` in `tests/` prints what the workbench's environment needs, and serves until it is interrupted."""

import argparse
from datetime import date
from threading import Event

from farend import ADVANCED, BASIC, DEVELOPER, STARTER, FarEnd

PLANS = {"basic": BASIC, "starter": STARTER, "developer": DEVELOPER, "advanced": ADVANCED}


def main() -> None:
    parser = argparse.ArgumentParser(prog="farend", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--plan", choices=PLANS, default="advanced")
    parser.add_argument("--rate", type=int, help="calls a minute before 429")
    parser.add_argument("--entitled-from", type=date.fromisoformat, help="the history wall")
    asked = parser.parse_args()
    with FarEnd(port=asked.port, plan=PLANS[asked.plan], rate=asked.rate, entitled_from=asked.entitled_from) as far_end:
        for name, value in environment(far_end).items():
            print(f"{name}={value}", flush=True)
        try:
            Event().wait()
        except KeyboardInterrupt:
            print(f"{len(far_end.requests)} requests.")


def environment(far_end: FarEnd) -> dict[str, str]:
    """The settings that lead the workbench here."""
    return {
        "POLYGON_API_KEY": far_end.key,
        "POLYGON_API_URL": far_end.api_url,
        "WORKBENCH_YAHOO": "1",
        "WORKBENCH_YAHOO_URL": far_end.yahoo_url,
        "FRED_API_KEY": far_end.fred_key,
        "FRED_API_URL": far_end.fred_url,
    }


if __name__ == "__main__":
    main()
