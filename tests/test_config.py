"""Settings: where each value comes from, what is refused, and what is never shown."""

import textwrap
from datetime import date
from pathlib import Path

import pytest

from workbench import policies
from workbench.config import Settings
from workbench.errors import BadSetting, NoSource, UnknownName
from workbench.lake.remote.where import remote_of


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "notebooks" / "deep").mkdir(parents=True)
    return tmp_path


def test_arguments_beat_environment_beats_dotenv_beats_toml(project: Path) -> None:
    (project / "workbench.toml").write_text('data = "toml"\ntimezone = "UTC"\nuniverse = "A"\nthreads = 1\n')
    (project / ".env").write_text("WORKBENCH_DATA=dotenv\nWORKBENCH_TIMEZONE=Europe/Paris\nWORKBENCH_UNIVERSE=B\n")
    env = {"WORKBENCH_DATA": "env", "WORKBENCH_TIMEZONE": "Asia/Tokyo"}

    settings = Settings.load(env, project, data="given")

    assert (settings.data, settings.timezone, settings.universe, settings.threads) == ("given", "Asia/Tokyo", "B", 1)
    assert [settings.origins[name] for name in ("data", "timezone", "universe", "threads", "yahoo")] == [
        "argument",
        "WORKBENCH_TIMEZONE in the environment",
        "WORKBENCH_UNIVERSE in .env",
        "workbench.toml",
        "default",
    ]


@pytest.mark.parametrize("start", [".", "notebooks", "notebooks/deep"])
def test_a_relative_root_is_told_from_the_project_wherever_one_stands(project: Path, start: str) -> None:
    assert Settings.load({}, project / start).root == project / "data"
    assert Settings.load({}, project / start, data="other/lake").root == project / "other" / "lake"


def test_an_empty_variable_counts_as_not_set(project: Path) -> None:
    assert Settings.load({"WORKBENCH_DATA": ""}, project).data == "data"


def test_the_api_key_has_two_names(project: Path) -> None:
    assert Settings.load({"MASSIVE_API_KEY": "m"}, project).polygon_api_key == "m"
    assert Settings.load({"MASSIVE_API_KEY": "m", "POLYGON_API_KEY": "p"}, project).polygon_api_key == "p"


def test_a_typo_in_the_settings_file_is_named_with_the_nearest_right_key(project: Path) -> None:
    (project / "workbench.toml").write_text('memroy_limit = "1GB"\n')
    with pytest.raises(UnknownName, match=r"'memroy_limit'.*memory_limit.*workbench\.toml"):
        Settings.load({}, project)


def test_a_broken_settings_file_says_where(project: Path) -> None:
    (project / "workbench.toml").write_text('data = "x\n')
    with pytest.raises(BadSetting, match="line 1"):
        Settings.load({}, project)


@pytest.mark.parametrize(
    ("variable", "value", "hint"),
    [
        ("WORKBENCH_THREADS", "many", "whole number"),
        ("WORKBENCH_THREADS", "0", "1 to 1024"),
        ("WORKBENCH_THREADS", "1000000", "1 to 1024"),
        ("WORKBENCH_THREADS", "--5", "whole number"),
        ("WORKBENCH_THREADS", "²", "whole number"),
        ("WORKBENCH_MEMORY_LIMIT", "abc", "75% or 8GB"),
        ("WORKBENCH_MEMORY_LIMIT", "0%", "75% or 8GB"),
        ("WORKBENCH_MEMORY_LIMIT", "nan%", "75% or 8GB"),
        ("WORKBENCH_YAHOO", "perhaps", "true or false"),
        ("WORKBENCH_TIMEZONE", "localtime", "America/New_York"),
        ("WORKBENCH_TIMEZONE", "New_York", "America/New_York"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_with_what_can(project: Path, variable: str, value: str, hint: str) -> None:
    with pytest.raises(BadSetting, match=hint) as refused:
        Settings.load({variable: value}, project)
    assert variable in str(refused.value), "it says where the value came from"


def test_an_unknown_source_suggests_the_nearest(project: Path) -> None:
    with pytest.raises(UnknownName, match="polygon_s3"):
        Settings.load({"WORKBENCH_SOURCE": "polygon_s33"}, project)


def test_the_source_follows_from_the_keys_and_none_names_the_ways(project: Path) -> None:
    keys = {"POLYGON_S3_ACCESS_KEY": "a", "POLYGON_S3_SECRET_KEY": "s"}
    assert Settings.load(keys, project).chosen_source == "polygon_s3"
    with pytest.raises(NoSource, match=r"POLYGON_S3_ACCESS_KEY.*folder:PATH.*sample"):
        _ = Settings.load({}, project).chosen_source
    with pytest.raises(NoSource, match="Only one of the two"):
        _ = Settings.load({"POLYGON_S3_ACCESS_KEY": "a"}, project).chosen_source


def test_secrets_are_never_shown(project: Path) -> None:
    env = {
        "POLYGON_S3_ACCESS_KEY": "AKIAXX",
        "POLYGON_S3_SECRET_KEY": "hush-hush",
        "POLYGON_API_KEY": "key-key",
        "FRED_API_KEY": "fred-fred",
    }
    settings = Settings.load(env, project)
    for text in (repr(settings), str(settings), str(settings.shown())):
        assert not any(secret in text for secret in env.values())


def test_a_lake_in_a_bucket_has_a_root_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:8333")
    made = Settings.load({}, tmp_path, data="s3://market/lakes/one/", cache=str(tmp_path / "cache"))
    assert made.url == "s3://market/lakes/one"
    assert made.root == tmp_path / "cache" / "s3:http:127.0.0.1:8333" / "market:lakes:one"
    assert made.scratch == made.root / "tmp"
    remote = remote_of(made.root / "lake" / "main" / "stock_day")
    assert remote
    assert (remote.root, remote.where, remote.endpoint) == (made.root, made.url, "http://127.0.0.1:8333")
    assert remote.url_of(made.root / "lake" / "main") == "s3://market/lakes/one/lake/main"


@pytest.mark.parametrize(
    "data",
    ["gs://bucket/x", "s3:/bucket/x", "s3://", "s3://Bucket", "s3://bucket/a:b", "s3://bucket/../x", "s3://bucket//x", "s3://bucket/a%b"],
)
def test_what_is_no_place_of_a_lake_is_refused(data: str, tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="s3://bucket/prefix"):
        _ = Settings.load({}, tmp_path, data=data).root


@pytest.mark.parametrize("data", ["s3://me:hush@bucket/x", "s3://bucket/x?s3_secret_access_key=hush"])
def test_what_stands_in_a_url_that_nobody_is_to_see_is_not_said_again(data: str, tmp_path: Path) -> None:
    with pytest.raises(BadSetting) as caught:
        _ = Settings.load({}, tmp_path, data=data).root
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    "endpoint",
    [
        "127.0.0.1:9000",
        "localhost:9000",
        "ftp://store",
        "http://store:port",
        "https://store/s3",
        "https://me:hush@store",
        "https://store?key=hush",
    ],
)
def test_an_endpoint_that_is_none_is_refused_before_anything_is_asked(
    endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with pytest.raises(BadSetting, match=r"AWS_ENDPOINT_URL is .* must be like https://host") as caught:
        _ = Settings.load({}, tmp_path, data="s3://market/lake").root
    assert "hush" not in str(caught.value)


def test_a_folder_source_is_told_from_where_it_was_named(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "workbench.toml").write_text('source = "folder:flat"\n')
    monkeypatch.chdir(project / "notebooks")
    assert Settings.load({}).folder == project / "flat"
    assert Settings.load({}).with_source("folder:flat").folder == project / "notebooks" / "flat"


@pytest.mark.parametrize("root", ["a%20b", "[d]", "what?", "a*", "two\nlines"])
def test_a_root_that_engines_would_read_as_a_pattern_is_refused(project: Path, root: str) -> None:
    with pytest.raises(BadSetting, match="take another folder"):
        _ = Settings.load({}, project, data=root).root


@pytest.mark.parametrize("limit", ["50%", "100%", "12.5%", "8GB", "512MiB", "1.5 TB"])
def test_a_memory_limit_is_a_share_or_a_size(project: Path, limit: str) -> None:
    assert Settings.load({"WORKBENCH_MEMORY_LIMIT": limit}, project).memory_limit == limit


# ---------------------------------------------------------------------- policies


def told(project: Path, toml: str) -> Settings:
    (project / "workbench.toml").write_text(toml)
    return Settings.load({}, project)


def test_the_documented_policies_can_be_loaded(project: Path) -> None:
    example = "\n".join(line for line in (policies.__doc__ or "").splitlines() if line.startswith("    "))

    settings = told(project, textwrap.dedent(example))

    assert {name: str(one) for name, one in settings.retention.items()} == {
        "stock_minute": "keep 2 years, then archive",
        "stock_quotes": "keep 6 months, then drop, with or without a rollup",
    }
    maintain = settings.maintain
    assert (maintain.after_refresh, maintain.seconds) == (True, 60)
    assert [str(age) for age in (maintain.compact_after, maintain.fold_after, maintain.vacuum_keep)] == ["30 days", "92 days", "7 days"]


def test_without_a_policy_nothing_is_ever_removed(project: Path) -> None:
    assert told(project, "").retention == {}


def test_policies_are_shown_with_their_origin(project: Path) -> None:
    settings = told(project, '[retention.stock_minute]\nkeep = "1 year"\nthen = "drop"\n[maintain]\nseconds = 5\n')
    shown = {row["setting"]: (row["value"], row["from"]) for row in settings.shown()}
    assert shown["retention.stock_minute"] == ("keep 1 year, then drop", "workbench.toml")
    assert shown["maintain.seconds"] == ("5", "workbench.toml")
    assert shown["maintain.vacuum_keep"] == ("7 days", "default")


@pytest.mark.parametrize(
    ("keep", "cutoff"),
    [
        ("2 years", date(2022, 2, 28)),
        ("1 month", date(2024, 1, 29)),
        ("1 quarter", date(2023, 11, 29)),
        ("6 weeks", date(2024, 1, 18)),
        ("30 days", date(2024, 1, 30)),
        ("4 YEARS", date(2020, 2, 29)),
        ("99999 years", date(1, 1, 29)),
        ("99999 weeks", date(107, 8, 25)),
    ],
)
def test_an_age_is_counted_back_by_the_calendar(project: Path, keep: str, cutoff: date) -> None:
    settings = told(project, f'[retention.stock_minute]\nkeep = "{keep}"\nthen = "drop"\n')
    assert settings.retention["stock_minute"].keep.before(date(2024, 2, 29)) == cutoff


GOOD = '[retention.stock_minute]\nkeep = "2 years"\nthen = "drop"\n'


@pytest.mark.parametrize(
    ("toml", "error", "hint"),
    [
        (GOOD.replace("minute", "minut"), UnknownName, "did you mean stock_minute"),
        (GOOD.replace("stock_minute", "ohlcv_archive"), UnknownName, "no table"),
        (GOOD.replace("keep", "kepe"), UnknownName, "did you mean keep"),
        (GOOD.replace("years", "yaers"), UnknownName, "did you mean years"),
        (GOOD.replace("2 years", "years"), BadSetting, "a count and a unit"),
        (GOOD.replace('"2 years"', "2"), BadSetting, "a count and a unit"),
        (GOOD.replace("2 years", "0 days"), BadSetting, "keep nothing"),
        (GOOD.replace("2 years", "-1 days"), BadSetting, "a count and a unit"),
        (GOOD.replace("drop", "delete"), BadSetting, '"archive" or "drop"'),
        (GOOD.replace('then = "drop"', ""), BadSetting, '"archive" or "drop"'),
        (GOOD.replace('keep = "2 years"', ""), BadSetting, "lacks keep"),
        (GOOD + "rollup = false", BadSetting, '"required" or "none"'),
        (GOOD.replace("stock_minute", "stock_quotes"), BadSetting, "no table sums the rows of stock_quotes up"),
        (GOOD.replace("stock_minute", "stock_day"), BadSetting, "no table sums the rows of stock_day up"),
        (GOOD.replace("stock_minute", "stock_trades").replace("drop", "archive"), BadSetting, "bars, not ticks"),
        ("retention = 2", BadSetting, r"must be a section"),
        ("[retention]\nstock_minute = 2", BadSetting, r"must be a section"),
        ("[maintain]\nsecond = 5", UnknownName, "did you mean seconds"),
        ("[maintain]\nseconds = -5", BadSetting, "0 or more"),
        ('[maintain]\nseconds = "soon"', BadSetting, "whole number"),
        ('[maintain]\nafter_refresh = "perhaps"', BadSetting, "true or false"),
        ('[maintain]\nvacuum_keep = "7 moons"', UnknownName, "unit of time"),
        ("[retentoin.stock_minute]", UnknownName, "did you mean retention"),
    ],
)
def test_a_policy_that_cannot_be_followed_is_refused_where_it_stands(project: Path, toml: str, error: type[Exception], hint: str) -> None:
    with pytest.raises(error, match=hint) as refused:
        told(project, toml)
    assert "workbench.toml" in str(refused.value) and "nothing was done" in str(refused.value)
