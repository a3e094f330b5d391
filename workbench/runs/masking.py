"""Secrets kept out of what runs leave behind: the settings' own, and what the environment has under names that say so."""

import base64
import configparser
import html
import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from workbench.config import Settings

MASK = "********"
# Shorter ones would mask half of what is written; nobody issues such keys.
SHORTEST, SHORTEST_OF_OTHERS = 6, 8
SAYS_SO = re.compile(
    r"(?:^|_)(?:SECRET|SECRETS|TOKEN|PASSWORD|PASSWD|PASSPHRASE|APIKEY|API_KEY|ACCESS_KEY|SECRET_KEY|PRIVATE_KEY)(?:_ID)?$"
)
LOGIN_IN_URL = re.compile(r"(?<=://)([^\s/:@]*):([^\s/@]+)(?=@)")

# What lets whoever has an address of an object read it.
SIGNED = re.compile(r"(X-Amz-(?:Credential|Signature|Security-Token)=)[^\s&\"'<>\\]+")
# The files in which boto3 finds keys, and the variables that name others.
PROFILES = {"AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials", "AWS_CONFIG_FILE": "~/.aws/config"}


class Secrets:
    """Texts that must not be written; `mask` takes them out of a text, in each form in which they are likely to stand there."""

    def __init__(self, texts: Iterable[str]):
        self.texts = tuple(sorted({text for text in texts if len(text) >= SHORTEST}, key=lambda text: (-len(text), text)))
        forms = {form for text in self.texts for form in forms_of(text)}
        self._pattern = (
            re.compile("|".join(re.escape(form) for form in sorted(forms, key=lambda form: (-len(form), form)))) if forms else None
        )

    @classmethod
    def of(cls, settings: "Settings", env: Mapping[str, str]) -> Self:
        """The secrets of some settings, those of the environment, and the keys for S3 that it leads to."""
        declared = [str(getattr(settings, name)) for name, one in settings.declared().items() if one.metadata["secret"]]
        notify = getattr(settings, "notify", None)
        others = [value for name, value in env.items() if SAYS_SO.search(name.upper()) and len(value) >= SHORTEST_OF_OTHERS]
        return cls([*declared, *others, *keys_of_profiles(env), *([notify.webhook] if notify else [])])

    def __contains__(self, text: object) -> bool:
        """Whether a text holds a secret, or a URL with a password."""
        return bool(LOGIN_IN_URL.search(str(text)) or (self._pattern and self._pattern.search(str(text))))

    def mask(self, text: str) -> str:
        """The text without its secrets."""
        text = SIGNED.sub(rf"\1{MASK}", LOGIN_IN_URL.sub(rf"\1:{MASK}", text))
        return self._pattern.sub(MASK, text) if self._pattern else text

    def masked(self, value: Any) -> Any:
        """A value as JSON has it, without the secrets in its texts and names."""
        if isinstance(value, str):
            return self.mask(value)
        if isinstance(value, Mapping):
            return {self.mask(str(name)): self.masked(one) for name, one in value.items()}
        return [self.masked(one) for one in value] if isinstance(value, list | tuple) else value


def keys_of_profiles(env: Mapping[str, str]) -> list[str]:
    """The keys of all profiles of this user's for S3; none of a file that cannot be read."""
    found = list[str]()
    for variable, file in PROFILES.items():
        read = configparser.RawConfigParser(strict=False)
        with suppress(OSError, UnicodeDecodeError, configparser.Error, RuntimeError):
            read.read(Path(env.get(variable) or file).expanduser(), encoding="utf-8")
        found += [value for name in read.sections() for key, value in read.items(name) if says_secret(key)]
    return [one for one in found if len(one) >= SHORTEST_OF_OTHERS]


def forms_of(text: str) -> set[str]:
    """A secret as it is, and as JSON, HTML, a URL, Python's repr and base64 write it."""
    encoded = base64.b64encode(text.encode()).decode().rstrip("=")
    return {text, json.dumps(text)[1:-1], html.escape(text), quote(text, safe=""), quote(text), quote_plus(text), repr(text)[1:-1], encoded}


def says_secret(name: str) -> bool:
    """Whether a name says that its value is a secret."""
    return bool(SAYS_SO.search(re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[- .]", "_", name).upper()))
