"""What the vendor's bucket means by its refusals, and which of them to bear: S3's codes in, our errors and pauses out."""

import random
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from workbench.errors import BadKeys, BrokenDownload, NotEntitled, NotPublished, SourceError

LONGEST_PAUSE_S = 30.0
LONGEST_RETRY_AFTER_S = 300.0
PASSING_STATUS = {429, 500, 502, 503, 504}
PASSING_CODES = {"SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable", "Throttling", "TooManyRequests"}


@dataclass(frozen=True)
class Meaning:
    """What a refusal says to the user: why, and what to do next."""

    error: type[SourceError]
    reason: str
    advice: str


CHECK_KEYS = "check POLYGON_S3_ACCESS_KEY and POLYGON_S3_SECRET_KEY: they are the S3 keys of the vendor's dashboard, not the API key"
CHECK_PLACE = "check POLYGON_S3_ENDPOINT and POLYGON_S3_BUCKET"
UNKNOWN_KEY = Meaning(BadKeys, "{endpoint} does not know the access key", CHECK_KEYS)
OUT_OF_PLAN = Meaning(
    NotEntitled, "the plan of these keys does not cover it", "ask for tables and dates within the plan, or take another source"
)
ABSENT = Meaning(
    NotPublished,
    "{bucket} does not hold it",
    "refresh again to list anew; files are complete by about 11:00 New York on the day after the session",
)
NO_BUCKET = Meaning(
    SourceError, "{endpoint} has no bucket {bucket!r}", "check POLYGON_S3_BUCKET (the vendor's is flatfiles) and POLYGON_S3_ENDPOINT"
)
REPLACED = Meaning(BrokenDownload, "it was replaced after it had been listed", "refresh again: the next run lists it anew")
REFUSED = Meaning(SourceError, "{endpoint} refused the request", CHECK_PLACE)

MEANINGS = {
    "InvalidAccessKeyId": UNKNOWN_KEY,
    "SignatureDoesNotMatch": Meaning(BadKeys, "{endpoint} does not accept the secret key", CHECK_KEYS),
    "RequestTimeTooSkewed": Meaning(SourceError, "this machine's clock differs too much from {endpoint}'s", "set the clock"),
    "AccessDenied": OUT_OF_PLAN,
    "Forbidden": OUT_OF_PLAN,
    "403": OUT_OF_PLAN,
    "NoSuchKey": ABSENT,
    "NotFound": ABSENT,
    "404": ABSENT,
    "NoSuchBucket": NO_BUCKET,
    "InvalidBucketName": NO_BUCKET,
    "PreconditionFailed": REPLACED,
    "412": REPLACED,
    "InvalidRange": REPLACED,
    "416": REPLACED,
}
# A listing names no file: a 403 without a reason speaks of the keys, and a 404 of the bucket.
LISTING_MEANINGS = MEANINGS | {
    "Forbidden": UNKNOWN_KEY,
    "403": UNKNOWN_KEY,
    "NoSuchKey": NO_BUCKET,
    "NotFound": NO_BUCKET,
    "404": NO_BUCKET,
}


class Patience:
    """How many failures in a row are borne, with growing pauses in between."""

    def __init__(self, tries: int, backoff_s: float):
        self.tries, self.backoff_s = tries, backoff_s
        self.failures = 0

    def renew(self) -> None:
        """Something came: count from zero again."""
        self.failures = 0

    def endure(self, exc: Exception) -> None:
        """Wait before the next attempt; raises `exc` if another attempt cannot help, or if there were enough of them."""
        self.failures += 1
        if not passing(exc) or self.failures >= self.tries:
            raise exc
        # Jitter, so that workers that were refused together do not come back together.
        backoff_s = min(LONGEST_PAUSE_S, self.backoff_s * 2 ** (self.failures - 1)) * random.uniform(0.5, 1)  # noqa: S311
        # The far end is given the time that it asks for, or some to recover; nothing here can be waited for.
        time.sleep(max(backoff_s, min(retry_after_s(exc), LONGEST_RETRY_AFTER_S)))


def passing(exc: Exception) -> bool:
    """Whether what went wrong may go right another time."""
    from botocore.exceptions import ClientError, HTTPClientError, IncompleteReadError
    from botocore.exceptions import ConnectionError as NoConnection
    from botocore.parsers import ResponseParserError

    if isinstance(exc, ClientError):
        return status_of(exc) in PASSING_STATUS or code_of(exc) in PASSING_CODES
    return isinstance(exc, NoConnection | HTTPClientError | IncompleteReadError | ResponseParserError)


def code_of(exc: BaseException) -> str:
    """The S3 error code of a refusal, or the nearest to one that botocore tells."""
    from botocore.exceptions import ClientError, ParamValidationError

    if isinstance(exc, ClientError):
        return exc.response["Error"].get("Code") or str(status_of(exc))
    # Bucket names are checked before anything is sent; our keys come from a listing.
    return "InvalidBucketName" if isinstance(exc, ParamValidationError) else type(exc).__name__


def status_of(exc: BaseException) -> int:
    """The HTTP status of a refusal, or 0 if there was no answer."""
    from botocore.exceptions import ClientError

    return exc.response["ResponseMetadata"]["HTTPStatusCode"] if isinstance(exc, ClientError) else 0


def retry_after_s(exc: Exception) -> float:
    """How long the far end asks us to wait: seconds, or until an HTTP date."""
    from botocore.exceptions import ClientError

    if not isinstance(exc, ClientError):
        return 0.0
    value = exc.response["ResponseMetadata"]["HTTPHeaders"].get("retry-after", "0")
    with suppress(ValueError):
        return float(value)
    with suppress(ValueError, TypeError):
        return (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
    return 0.0
