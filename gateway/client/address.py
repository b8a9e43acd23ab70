"""Where a job or a session is: a gateway, an id, and the token that opens the session."""

import re
from ipaddress import ip_address
from urllib.parse import parse_qs, urlsplit

import msgspec

_JOB = re.compile(r"(?P<prefix>.*)/v1/jobs/(?P<job_id>[0-9a-z]{26})(?:/(?:events|cancel))?/?")


class JobAddress(msgspec.Struct, frozen=True):
    """`base` is the gateway's URL without a slash at its end; a job's URLs are paths below it."""

    base: str
    job_id: str
    token: str | None

    @property
    def status_path(self) -> str:
        """The path of the job's snapshot."""
        return f"/v1/jobs/{self.job_id}"

    @property
    def events_url(self) -> str:
        """The whole URL of the job's stream, without the token."""
        return f"{self.base}{self.status_path}/events"

    @property
    def shareable_url(self) -> str:
        """The whole URL of the job's stream with the token, for whoever is to watch the job."""
        return f"{self.events_url}?token={self.token}" if self.token else self.events_url


class SessionAddress(msgspec.Struct, frozen=True):
    """Where a session is: `base` as of a job's address; its URLs are paths below it."""

    base: str
    session_id: str
    token: str | None

    @property
    def status_path(self) -> str:
        """The path of the session's outline."""
        return f"/v1/sessions/{self.session_id}"

    @property
    def events_url(self) -> str:
        """The whole URL of the session's stream, without the token."""
        return f"{self.base}{self.status_path}/events"


def parse_base(url: str) -> str:
    """The gateway's URL without a slash at its end. Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is not the URL of a gateway, such as http://127.0.0.1:8000")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def parse_job_url(url: str, base: str, token: str | None = None) -> JobAddress:
    """The job that an events_url or a status_url names; one without a host is below `base`. Raises ValueError.

    A token that is given wins over the one in the URL.
    """
    parts = urlsplit(url)
    found = _JOB.fullmatch(parts.path)
    if found is None:
        raise ValueError(
            f"{url.partition('?')[0]!r} is not the URL of a job, such as /v1/jobs/<job_id>/events?token=..."
        )
    if parts.scheme or parts.netloc:
        base = f"{parts.scheme}://{parts.netloc}{found['prefix']}"
    in_url = parse_qs(parts.query).get("token", [None])[0]
    return JobAddress(parse_base(base), found["job_id"], token or in_url)


def is_loopback(url: str) -> bool:
    """Whether the URL is on this machine, where the environment's proxy has no business."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
