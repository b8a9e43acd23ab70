"""Secrets in a prompt: keys, tokens, passwords.

The patterns of vendors' tokens are detect-secrets' own; its plugins are plain objects with compiled patterns, used here
straight on the text. Its file scan, settings (a process-wide cache) and verification (network calls) are not used.
Left out on purpose, and covered by the patterns below: KeywordDetector, Npm, OpenAI, Jwt, Cloudant, IBM and SoftLayer,
whose patterns take quadratic time on long lines (`password` or spaces repeated), which a public endpoint can't afford.
"""

import re
from collections.abc import Iterator

from detect_secrets.plugins.artifactory import ArtifactoryDetector
from detect_secrets.plugins.aws import AWSKeyDetector
from detect_secrets.plugins.azure_storage_key import AzureStorageKeyDetector
from detect_secrets.plugins.base import RegexBasedDetector
from detect_secrets.plugins.basic_auth import BasicAuthDetector
from detect_secrets.plugins.discord import DiscordBotTokenDetector
from detect_secrets.plugins.github_token import GitHubTokenDetector
from detect_secrets.plugins.gitlab_token import GitLabTokenDetector
from detect_secrets.plugins.high_entropy_strings import (
    Base64HighEntropyString,
    HexHighEntropyString,
    HighEntropyStringsPlugin,
)
from detect_secrets.plugins.jwt import JwtTokenDetector
from detect_secrets.plugins.mailchimp import MailchimpDetector
from detect_secrets.plugins.private_key import PrivateKeyDetector
from detect_secrets.plugins.pypi_token import PypiTokenDetector
from detect_secrets.plugins.sendgrid import SendGridDetector
from detect_secrets.plugins.slack import SlackDetector
from detect_secrets.plugins.square_oauth import SquareOAuthDetector
from detect_secrets.plugins.stripe import StripeDetector
from detect_secrets.plugins.telegram_token import TelegramBotTokenDetector
from detect_secrets.plugins.twilio import TwilioKeyDetector

from infra.providers.builtin.prompt.spans import Span

VENDOR_TOKENS: tuple[tuple[str, type[RegexBasedDetector]], ...] = (
    ("artifactory_credentials", ArtifactoryDetector),
    ("aws_access_key", AWSKeyDetector),
    ("azure_storage_key", AzureStorageKeyDetector),
    ("url_password", BasicAuthDetector),
    ("discord_bot_token", DiscordBotTokenDetector),
    ("github_token", GitHubTokenDetector),
    ("gitlab_token", GitLabTokenDetector),
    ("mailchimp_key", MailchimpDetector),
    ("pypi_token", PypiTokenDetector),
    ("sendgrid_key", SendGridDetector),
    ("slack_token", SlackDetector),
    ("square_oauth_secret", SquareOAuthDetector),
    ("stripe_key", StripeDetector),
    ("telegram_bot_token", TelegramBotTokenDetector),
    ("twilio_key", TwilioKeyDetector),
)
# Shorter quoted strings are words and short hashes; every real token above is longer.
SHORTEST_RANDOM_STRING = 20
# A private key's body when its END line is missing: an RSA 4096 key is about 3,300 characters.
LONGEST_OPEN_KEY = 4_000

MODEL_KEY = re.compile(r"(?<![A-Za-z0-9])sk-[A-Za-z0-9_-]{20,250}")
NPM_TOKEN = re.compile(r"_authToken=[ \t]{0,5}\S{8,200}|(?<![A-Za-z0-9])npm_[A-Za-z0-9]{36}")
WEB_TOKEN = re.compile(
    r"(?<![A-Za-z0-9_=-])(eyJ[A-Za-z0-9_=-]{5,2000}\.[A-Za-z0-9_=-]{5,4000})(?:\.[A-Za-z0-9_=+/-]{0,1000})?"
)
KEY_END = re.compile(r"-----END [A-Z0-9 ]{1,40}-----")
UNQUOTED_TOKEN = re.compile(r"(?<![A-Za-z0-9+/_=-])[A-Za-z0-9_-]{32,200}(?![A-Za-z0-9+/_-])")
# `password: hunter2!`, `api_key = "..."`, `パスワードは「...」`: the name of a secret, then a value that is one word.
ASSIGNMENT = re.compile(
    r"(?:api[ _-]?key|access[ _-]?key|auth[ _-]?key|private[ _-]?key|service[ _-]?key|account[ _-]?key|password"
    r"|passwd|passphrase|pwd|secret|token|contraseñ?n?a|mot de passe|passwort"
    r"|パスワード|暗証番号|秘密鍵|シークレット|トークン|APIキー)"
    r"[A-Za-z_-]{0,20}[\"'”」]?[ \t]{0,3}(?:[:=\uff1a\uff1d]{1,2}|=>| is | は|は)[ \t]{0,3}[\"'“`「『]?"
    r"(?P<value>[^\s\"'”“`「」『』、。]{6,200})",
    re.IGNORECASE,
)
# What stands for a value instead of being one: a template, a mask, an instruction to fill it in.
STAND_IN = re.compile(r"[{}<>]|^\$|\*{3}|•|\.{3}|…|x{4}|your|example|placeholder|changeme|redacted", re.IGNORECASE)


def find_secrets(text: str) -> Iterator[Span]:
    """Every span that looks like a secret; spans may overlap. Linear in the length of the text."""
    yield from find_vendor_tokens(text)
    yield from find_private_keys(text)
    yield from find_web_tokens(text)
    yield from (Span(*match.span(), "secret", "model_api_key") for match in MODEL_KEY.finditer(text))
    yield from (Span(*match.span(), "secret", "npm_token") for match in NPM_TOKEN.finditer(text))
    yield from find_assignments(text)
    yield from find_random_strings(text)


def find_vendor_tokens(text: str) -> Iterator[Span]:
    """Tokens with a vendor's own form. One without a digit is taken for a word (APARTMENTS has Artifactory's form)."""
    for rule, detector in VENDOR_TOKENS:
        for pattern in detector().denylist:
            for match in pattern.finditer(text):
                if rule == "url_password" or any(character.isdigit() for character in match.group()):
                    yield Span(*match.span(), "secret", rule)


def find_private_keys(text: str) -> Iterator[Span]:
    """Private keys with their body, which the plugin's patterns (only the BEGIN line) do not cover."""
    for pattern in PrivateKeyDetector().denylist:
        for match in pattern.finditer(text):
            end = KEY_END.search(text, match.end(), match.end() + 2 * LONGEST_OPEN_KEY)
            yield Span(match.start(), end.end() if end else _open_key_end(text, match.end()), "secret", "private_key")


def _open_key_end(text: str, start: int) -> int:
    """Where a key without an END line stops: the next blank line."""
    blank = text.find("\n\n", start, start + LONGEST_OPEN_KEY)
    return blank if blank >= 0 else min(len(text), start + LONGEST_OPEN_KEY)


def find_web_tokens(text: str) -> Iterator[Span]:
    """JSON Web Tokens whose first two parts really decode to JSON."""
    for match in WEB_TOKEN.finditer(text):
        if JwtTokenDetector.is_formally_valid(match.group(1)):
            yield Span(*match.span(), "secret", "json_web_token")


def find_assignments(text: str) -> Iterator[Span]:
    """Values given to something called a password, key or token, when the value can't be prose: it has a digit."""
    for match in ASSIGNMENT.finditer(text):
        value = match.group("value").rstrip(".,;:!?)\uff09")
        if len(value) >= 6 and any(character.isdigit() for character in value) and not STAND_IN.search(value):
            start = match.start("value")
            yield Span(start, start + len(value), "secret", "assigned_secret")


def find_random_strings(text: str) -> Iterator[Span]:
    """Strings too random for words by detect-secrets' entropy: quoted ones, and unquoted ones of mixed characters."""
    base64, hexadecimal = Base64HighEntropyString(), HexHighEntropyString()
    plugins: tuple[tuple[str, HighEntropyStringsPlugin], ...] = (
        ("random_base64", base64),
        ("random_hex", hexadecimal),
    )
    for rule, plugin in plugins:
        for match in plugin.regex.finditer(text):
            value = match.group(2)
            if len(value) >= SHORTEST_RANDOM_STRING and _is_random(plugin, value):
                yield Span(*match.span(2), "secret", rule)
    for match in UNQUOTED_TOKEN.finditer(text):
        value = match.group()
        # Long names of classes and files have upper and lower case but seldom two digits as well.
        mixed = value != value.upper() and value != value.lower() and sum(map(str.isdigit, value)) >= 2
        if mixed and _is_random(base64, value):
            yield Span(*match.span(), "secret", "random_base64")


def _is_random(plugin: HighEntropyStringsPlugin, value: str) -> bool:
    return plugin.calculate_shannon_entropy(value) > plugin.entropy_limit
