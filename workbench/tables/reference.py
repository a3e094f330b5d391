"""Reference data: who is listed, what companies did to their shares, what codes mean, what was reported, published and scheduled.

One row per fact, by key; a refresh adds facts and corrects them, and takes none away. Bars know nothing of these tables: prices stay raw, and
whoever adjusts them does so when they are read.
"""

from workbench.tables import reference_company
from workbench.tables.reference_columns import CLIENT, OAS, SEEN_AT, SOURCE, TICKER, number, optional, reference, text
from workbench.tables.spec import Column

__all__ = ["TABLES"]

TICKERS = reference(
    "tickers",
    "Who is, or was, listed. A symbol that one company gave up and another took has a row for each; a delisted company keeps its row.",
    (
        TICKER,
        optional("name", "The company, fund or index."),
        optional("market", "stocks, crypto, fx, otc or indices."),
        optional("locale", "us or global."),
        optional("primary_exchange", "MIC of the exchange of its listing."),
        optional(
            "type", "CS common stock, ETF, ADRC, PFD, WARRANT, UNIT, RIGHT, FUND and so on, as /v3/reference/tickers/types lists them."
        ),
        Column("active", "BOOLEAN", "Whether it was listed when it was last seen."),
        optional("currency", "Of its prices, as the source writes it."),
        optional("cik", "The company's number at the SEC; old rows have none."),
        optional("composite_figi", "OpenFIGI's id of the security in its country; old rows have none."),
        optional("share_class_figi", "OpenFIGI's id of the share class; old rows have none."),
        optional("listed", "First day of the listing, where it is told.", "DATE"),
        optional("delisted", "Last day of the listing; NULL while it is listed.", "DATE"),
        Column("first_seen", "DATE", "The first day on which a source listed the row to this lake."),
        Column("last_seen", "DATE", "The last day on which one did: a row that is no longer listed stays, and this stands still."),
        optional("updated_at", "When the vendor last changed the row.", "TIMESTAMPTZ"),
        SOURCE,
    ),
    ("ticker", "delisted", "composite_figi", "cik", "name"),
    f"/v3/reference/tickers, active and not ({OAS})",
)

TICKER_CHANGES = reference(
    "ticker_changes",
    "Which symbol an asset had when: a row for each spell, first and last day included.",
    (
        text("asset", "What was renamed: the symbol that it has now, or had last."),
        text("ticker", "The symbol of this spell."),
        optional("first_date", "First day of the spell; NULL if it is not told.", "DATE"),
        optional("last_date", "Last day of the spell; NULL while it lasts.", "DATE"),
        optional("name", "The company, as the source names it."),
        optional("composite_figi", "OpenFIGI's id of the security in its country."),
        optional("cik", "The company's number at the SEC."),
        SOURCE,
        SEEN_AT,
    ),
    ("asset", "ticker", "first_date"),
    f"/vX/reference/tickers/{{id}}/events ({OAS})",
)

SPLITS = reference(
    "splits",
    "Splits, a row for each ticker and execution date: split_from shares became split_to. On the execution date the whole day is already split. "
    "Adjust by the rows WHERE duplicate_of IS NULL: the vendor lists some splits under two dates.",
    (
        TICKER,
        Column("execution_date", "DATE", "The first day that trades at the new count of shares."),
        Column("split_from", "DOUBLE", "Shares before; more than split_to in a reverse split. May be a fraction.", "shares", low=0),
        Column("split_to", "DOUBLE", "Shares after. May be a fraction.", "shares", low=0),
        optional("id", "The vendor's id."),
        optional("adjustment_type", "forward_split, reverse_split or stock_dividend, as the newer endpoint tells."),
        number(
            "historical_adjustment_factor",
            "The vendor's product of all later splits, by which it multiplies prices before the date.",
            "factor",
            low=0,
        ),
        optional(
            "duplicate_of", "The execution date of the same split's other row, which is the right one; NULL in rows to adjust by.", "DATE"
        ),
        optional("verdict", "What the raw closes around the date say of the ratio; NULL until they were looked at."),
        SOURCE,
        SEEN_AT,
    ),
    ("ticker", "execution_date"),
    f"/stocks/v1/splits, else /v3/reference/splits ({OAS}; {CLIENT}); duplicates: the vendor's own example lists SHOP's of 2022 twice",
)

DIVIDENDS = reference(
    "dividends",
    "Cash dividends, a row for each payment. cash_amount is of the shares of that time, not adjusted for later splits; dates may lie in the future.",
    (
        TICKER,
        Column("ex_dividend_date", "DATE", "The first day that trades without the dividend."),
        Column("cash_amount", "DOUBLE", "Per share, as declared.", "currency per share", low=0),
        optional("currency", "ISO code; not always USD."),
        optional("dividend_type", "CD regular, SC special, LT and ST capital gains, long and short term, as the older endpoint tells."),
        optional("distribution_type", "recurring, special, supplemental, irregular or unknown, as the newer endpoint tells."),
        Column("frequency", "SMALLINT", "Payments a year: 0 once, 1, 2, 4, 12, 24, 52.", "a year", required=False, low=0, high=366),
        optional("declaration_date", "When it was announced.", "DATE"),
        optional("record_date", "Who holds the share on this day is paid.", "DATE"),
        optional("pay_date", "When it is paid.", "DATE"),
        number("split_adjusted_cash_amount", "cash_amount over all later splits, as the vendor works it out.", "currency per share", low=0),
        number(
            "historical_adjustment_factor",
            "The vendor's factor for prices before the date, dividends and splits together.",
            "factor",
            low=0,
        ),
        optional("id", "The vendor's id."),
        SOURCE,
        SEEN_AT,
    ),
    ("ticker", "ex_dividend_date", "cash_amount"),
    f"/stocks/v1/dividends, else /v3/reference/dividends ({OAS}; {CLIENT})",
)

CONDITIONS = reference(
    "conditions",
    "What the condition ids of trades and quotes mean. Ids of trades and of quotes overlap: always join on data_type, too.",
    (
        text("asset_class", "stocks, options, crypto, fx."),
        text("data_type", "What the id is read in: trade, quote or bbo."),
        Column("id", "INTEGER", "The id, as rows of trades and quotes have it.", "vendor's id"),
        text("type", "sale_condition, quote_condition, sip_generated_flag, financial_status_indicator and so on."),
        optional("name", "In words."),
        optional("abbreviation", "In short."),
        optional("description", "At length."),
        Column("exchange", "INTEGER", "The exchange that alone uses it.", required=False),
        optional("legacy", "Whether it is out of use.", "BOOLEAN"),
        optional("updates_high_low", "Whether a trade with it counts in the consolidated high and low.", "BOOLEAN"),
        optional("updates_open_close", "Whether it counts in the consolidated open and close.", "BOOLEAN"),
        optional("updates_volume", "Whether it counts in the consolidated volume.", "BOOLEAN"),
        optional("market_center_updates_high_low", "The same for the exchange's own high and low.", "BOOLEAN"),
        optional("market_center_updates_open_close", "The same for the exchange's own open and close.", "BOOLEAN"),
        optional("market_center_updates_volume", "The same for the exchange's own volume.", "BOOLEAN"),
        optional("sip_cta", "The CTA's code."),
        optional("sip_utp", "The UTP's code."),
        optional("sip_opra", "OPRA's code."),
        SOURCE,
        SEEN_AT,
    ),
    ("asset_class", "data_type", "type", "id"),
    f"/v3/reference/conditions ({OAS})",
)

EXCHANGES = reference(
    "exchanges",
    "Exchanges, reporting facilities and SIPs. `id` is not unique: four facilities of FINRA share 4, and trades tell them by trf_id.",
    (
        text("asset_class", "stocks, options, crypto, fx, futures."),
        Column("id", "INTEGER", "The id, as rows of trades and quotes have it.", "vendor's id"),
        text("type", "exchange, TRF, ORF or SIP."),
        text("name", "In words."),
        optional("acronym", "In short."),
        optional("mic", "ISO 10383 code; a SIP has none."),
        optional("operating_mic", "The operator's code."),
        optional("participant_id", "Its letter on the tape."),
        optional("locale", "us or global."),
        optional("url", "Its site."),
        SOURCE,
        SEEN_AT,
    ),
    ("asset_class", "id", "type", "mic"),
    f"/v3/reference/exchanges ({OAS})",
)

ECONOMIC_SERIES = reference(
    "economic_series",
    "Economic series, a row for each observation and each version of it. The newest version is the one with the greatest revision_date.",
    (
        text("series", "FRED's id, or the vendor's name of a column of /fed/v1: treasury yield_10_year, inflation cpi and so on."),
        Column("date", "DATE", "The first day of the period that the value is of."),
        Column("value", "DOUBLE", "What was measured.", "as in unit"),
        optional("is_preliminary", "Whether a later version corrects it, or is expected to.", "BOOLEAN"),
        optional("revision_date", "The day on which this version was published; NULL if the source does not tell.", "DATE"),
        optional("unit", "What the value counts."),
        optional("title", "The series in words."),
        optional("frequency", "Daily, Weekly, Monthly, Quarterly or Annual."),
        SOURCE,
        SEEN_AT,
    ),
    ("series", "date", "revision_date", "source"),
    f"FRED through fredapi, vintages from ALFRED; /fed/v1/* ({CLIENT})",
)

CALENDAR_EVENTS = reference(
    "calendar_events",
    "What is scheduled: splits, dividends, IPOs, closed and short sessions, releases of economic data. No source here tells forecasts: `forecast` is "
    "NULL. `impact` follows a rule, not anybody's opinion: 4 the market is closed, or the release is of employment, consumer prices, output or the central "
    "bank's decision; 3 a short session, or a release of producer prices, retail sales, personal income, claims or production; 2 any other release, a "
    "split, a special dividend or an IPO; 1 a regular dividend.",
    (
        text("id", "Stable: it derives from what happens to whom and when."),
        text("event_type", "split, dividend, ipo, holiday, early_close or economic_release."),
        Column("date", "DATE", "The day, in New York."),
        Column("event_at", "TIMESTAMPTZ", "The instant, where it is told; else midnight New York of the day."),
        text("name", "In words."),
        optional("description", "At length."),
        Column("impact", "SMALLINT", "From 1, slight, to 4, the whole market.", "level", low=1, high=4),
        optional("ticker", "Whose event it is; NULL for the whole market's."),
        optional("currency", "ISO code."),
        optional("country", "ISO code."),
        number("actual", "What it came to: the ratio of a split, the amount of a dividend.", "as in description"),
        number("forecast", "What was expected; always NULL, for no source tells it.", "as in description"),
        number("previous", "What it came to the time before.", "as in description"),
        SOURCE,
        SEEN_AT,
    ),
    ("id",),
    "derived from splits, dividends and the exchange calendar; /vX/reference/ipos, /v1/marketstatus/upcoming; release dates from FRED",
)

TABLES = (
    TICKERS,
    TICKER_CHANGES,
    SPLITS,
    DIVIDENDS,
    CONDITIONS,
    EXCHANGES,
    *reference_company.TABLES,
    ECONOMIC_SERIES,
    CALENDAR_EVENTS,
)
