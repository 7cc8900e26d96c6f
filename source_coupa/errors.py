"""What users read when something fails: one message that says what to do.

Every function returns an `AirbyteTracedException`; the caller raises it. The failure type follows
Airbyte's convention: `config_error` when the user can fix it, `transient_error` when it
passes by itself, `system_error` when only a change of the connector can fix it.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import urlsplit

import orjson
import requests
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from urllib3.exceptions import LocationParseError, ProxySchemeUnknown

from source_coupa.redaction import quoted

CLIENT_PAGE = "Setup > Oauth2/OpenID Connect Clients"
"""Where an administrator finds the OAuth clients in Coupa."""

_BARRED = (400, 401, 403, 406, 451)
"""Statuses of web pages that bar the way; others can be those of a server that is not Coupa."""

_HTML = (b"<!doctype html", b"<html", b"<head", b"<body")

_PLAIN_HOST = re.compile(r"[a-z0-9-]{1,30}(\.[a-z0-9-]{1,30}){1,5}", re.ASCII)

_ERROR_CODE = re.compile("[a-z_]{1,40}")
"""Anything else in the place of an OAuth error code is not shown: it may quote the request."""


def config_error(message: str, internal: str | None = None) -> AirbyteTracedException:
    """An error that the user can fix; `internal` is for engineers and holds no secret."""
    return AirbyteTracedException(
        message=message,
        internal_message=internal or message,
        failure_type=FailureType.config_error,
    )


class TransientError(AirbyteTracedException):
    """A failure that passes by itself.

    Attributes:
        wait: seconds that Coupa asks to wait; None if it does not.
    """

    wait: float | None = None


class HostDownError(TransientError):
    """No request gets a response for the time being, not only this one."""


class TokensDeniedError(TransientError):
    """The token endpoint gives no token for the time being, whatever the scope."""


def transient_error(
    message: str,
    internal: str | None = None,
    *,
    kind: type[TransientError] = TransientError,
) -> TransientError:
    """An error that passes by itself."""
    return kind(
        message=message,
        internal_message=internal or message,
        failure_type=FailureType.transient_error,
    )


def passing(failure: AirbyteTracedException) -> AirbyteTracedException:
    """A failure of what was fine earlier in this run: no setting is wrong, so it may pass."""
    if failure.failure_type == FailureType.transient_error:
        return failure
    return transient_error(failure.message or "", failure.internal_message)


class RefusedQueryError(AirbyteTracedException):
    """Coupa refuses each form of a query of a list."""


def system_error(
    message: str,
    internal: str | None = None,
    *,
    kind: type[AirbyteTracedException] = AirbyteTracedException,
) -> AirbyteTracedException:
    """A response of Coupa that this version of the connector cannot read safely."""
    return kind(
        message=message,
        internal_message=internal or message,
        failure_type=FailureType.system_error,
    )


def wrong_credentials(host: str) -> AirbyteTracedException:
    return config_error(
        f"{host} refused the client ID or the client secret: copy both again from Coupa "
        f"({CLIENT_PAGE}) and check that they belong to this instance."
    )


def wrong_grant(host: str) -> AirbyteTracedException:
    return config_error(
        f"{host} does not let this OAuth client use the grant type client credentials: choose "
        f"that grant type for it in Coupa ({CLIENT_PAGE})."
    )


def token_refused(host: str, code: str) -> AirbyteTracedException:
    """For codes that say neither that the client nor that the scope is wrong."""
    known = code if _ERROR_CODE.fullmatch(code) else "unknown"
    return config_error(
        f"{host} refused to issue an access token (error {known}): check in Coupa ({CLIENT_PAGE}) "
        "that the OAuth client is active and has the grant type that the settings name."
    )


def tokens_denied(host: str) -> AirbyteTracedException:
    """For a refusal that names neither the client nor the scope: of too many requests for tokens,
    for example."""
    return transient_error(
        f"{host} gives this OAuth client no more access tokens for now: try again in a few minutes "
        f"and, if it stays so, check in Coupa ({CLIENT_PAGE}) that the client is active.",
        kind=TokensDeniedError,
    )


def missing_scope(scopes: Iterable[str]) -> AirbyteTracedException:
    wanted = " or ".join(scopes)
    return config_error(
        f"The OAuth client lacks the scope {wanted}: add it to the client in Coupa "
        f"({CLIENT_PAGE}), or deselect the streams that need it."
    )


def no_scope_at_all(host: str, scopes: Sequence[str]) -> AirbyteTracedException:
    """Names the first few of `scopes`; there are some sixty."""
    return config_error(
        f"{host} accepts the credentials, but the OAuth client holds none of the scopes that open "
        f"a list: add at least one of those in the connector's documentation, such as "
        f"{', '.join(scopes[:3])}, to it in Coupa ({CLIENT_PAGE})."
    )


def sign_in_again(host: str) -> AirbyteTracedException:
    """For a refresh token that is expired, revoked, or used up."""
    return config_error(
        f"{host} no longer accepts the refresh token: authenticate again in the settings of the "
        "source, or enter a new refresh token there."
    )


def renewal_not_allowed(host: str) -> AirbyteTracedException:
    return config_error(
        f"{host} does not let this OAuth client renew a sign-in: choose the grant type "
        f"authorization code and the scope offline_access for it in Coupa ({CLIENT_PAGE}), then "
        "authenticate again."
    )


def not_signed_in_for(scopes: Iterable[str]) -> AirbyteTracedException:
    wanted = " or ".join(scopes)
    return config_error(
        f"The sign-in does not cover the scope {wanted}: add it to the OAuth client in Coupa "
        f"({CLIENT_PAGE}) and to the scopes of the settings and authenticate again, or deselect "
        "the streams that need it."
    )


def sign_in_opens_nothing(host: str, scopes: Sequence[str]) -> AirbyteTracedException:
    """Names the first few of `scopes`; there are some sixty."""
    return config_error(
        f"{host} accepts the sign-in, but nothing can be read with it: add at least one of the "
        f"scopes of the connector's documentation, such as {', '.join(scopes[:3])}, to the OAuth "
        f"client in Coupa ({CLIENT_PAGE}) and to the scopes of the settings, and authenticate "
        "again as a user who may see these records."
    )


def start_date_ahead() -> AirbyteTracedException:
    return config_error(
        "The start date lies in the future, and no record would come: choose one that has passed, "
        "or none."
    )


def unknown_stream(name: str) -> AirbyteTracedException:
    return config_error(
        f"Stream {name} does not exist in this version of the connector: refresh the schema of the "
        "connection in Airbyte."
    )


def unreadable_stream_state(stream: str) -> AirbyteTracedException:
    return config_error(
        f"The state of stream {stream} is not one of this connector: refresh the stream to "
        "sync it again from the start."
    )


def unreadable_state() -> AirbyteTracedException:
    return config_error(
        "The state is not one of this connector: pass the state messages of an earlier sync as "
        "they were printed, or none to sync everything again."
    )


def trimmed(resource: str, field: str) -> AirbyteTracedException:
    """For records without `field`: an administrator can make an API response filter the default of
    a resource, which then cuts fields from every response (Coupa's article on response filters)."""
    return config_error(
        f"Records of /api/{resource} come without {field}: an API response filter in Coupa cuts it "
        "off, the default one of the list or that of the settings. Add "
        f"{field} to that filter, or name another one for the stream in the settings (Filters)."
    )


def odd_row_id(resource: str, path: str, place: str) -> AirbyteTracedException:
    """For rows of child tables: an id of another kind makes no key that destinations can keep."""
    return system_error(
        f"Coupa sent an object in {path} of /api/{resource} whose id is no whole number: the "
        "stream was stopped.",
        place,
    )


def odd_id(resource: str) -> AirbyteTracedException:
    return system_error(f"Coupa sent a record of /api/{resource} whose id is no whole number.")


def out_of_order(resource: str) -> AirbyteTracedException:
    return system_error(
        f"Coupa does not list /api/{resource} in order of id, and records could be missed: the "
        "stream was stopped."
    )


def filter_ignored(resource: str, internal: str) -> AirbyteTracedException:
    return system_error(
        f"Coupa does not apply the filter on updated_at to /api/{resource}, and changes could be "
        "missed: the stream was stopped.",
        internal,
    )


def filter_in_another_zone(resource: str) -> AirbyteTracedException:
    return system_error(
        f"Coupa does not find a record of /api/{resource} by its own update time, and changes "
        "would be missed: sync the stream in full refresh mode, without a start date."
    )


def refused_query(resource: str, reason: str) -> AirbyteTracedException:
    return system_error(
        f"Coupa refuses the query for /api/{resource} (HTTP 400): {reason}.",
        reason,
        kind=RefusedQueryError,
    )


def stated(body: bytes) -> str:
    """Coupa's own words from `{"errors": {"<object>": ["text", ...]}}` (pages 0011 and 0015), or
    from what other shapes are thinkable."""
    try:
        parsed = orjson.loads(body)
        stated = parsed.get("errors", parsed.get("error", ""))
        groups = stated.values() if isinstance(stated, dict) else [stated]
        texts = [
            text for group in groups for text in (group if isinstance(group, list) else [group])
        ]
    except (orjson.JSONDecodeError, AttributeError):
        texts = []
    return quoted("; ".join(str(text) for text in texts if text)) or "no reason given"


def refused_setting(stream: str, reason: str) -> AirbyteTracedException:
    """For a stream of whose list the settings ask something; `reason` is Coupa's."""
    return config_error(
        f"Coupa refuses what the settings ask of the stream {stream} (HTTP 400): {reason}. Correct "
        "its filter or the name of its API response filter."
    )


def no_such_setting(path: str, stream: str) -> AirbyteTracedException:
    """For a list that the settings name."""
    return config_error(
        f"This Coupa instance does not offer /api/{path} (HTTP 404), the list of the stream "
        f"{stream}: correct the entry of this stream in the settings, or remove it."
    )


def closed_list(stream: str, scopes: Iterable[str]) -> AirbyteTracedException:
    """For an additional list."""
    return config_error(
        f"The OAuth client or the sign-in lacks the scope {' or '.join(scopes)}, which the entry "
        f"of the additional list {stream} names: add it, or correct the entry."
    )


def no_list(path: str, stream: str) -> AirbyteTracedException:
    """For something else that the settings name."""
    return config_error(
        f"Coupa sends no JSON list for /api/{path}, which the stream {stream} is to read: correct "
        "the entry of this stream in the settings, or remove it."
    )


def without_update_times(path: str, stream: str) -> AirbyteTracedException:
    """For an additional list that is said to be incremental."""
    return config_error(
        f"Records of /api/{path} have no updated_at. Turn Incremental off for the additional list "
        f"{stream}, and each sync reads it in full."
    )


def refused_filter(resource: str, reason: str) -> AirbyteTracedException:
    """For a list that the settings filter; `reason` is Coupa's."""
    return config_error(
        f"Coupa refuses the query for /api/{resource}, which has the filter of the settings (HTTP "
        f"400): {reason}. Correct the filter, or remove it."
    )


def user_filter_ignored(resource: str, name: str, id_: object) -> AirbyteTracedException:
    """For a record that cannot have met a filter of the settings; `name` is its parameter."""
    return config_error(
        f"Coupa does not apply the filter {name} to /api/{resource}: it sends record "
        f"{quoted(str(id_))}, which does not meet it. Take this condition out of the filter in the "
        "settings, or write it with the field that Coupa filters by."
    )


def unreadable(resource: str, seen: str) -> AirbyteTracedException:
    return transient_error(
        f"Coupa sends {seen} instead of a JSON list for /api/{resource}: check in a browser "
        "whether the instance is up, then sync again."
    )


def too_large(resource: str, size: int) -> AirbyteTracedException:
    return system_error(
        f"A response of /api/{resource} is larger than {size // 1_000_000} MB, which is more than "
        "the connector takes."
    )


def cannot_be_had(resource: str, ids: Sequence[int]) -> AirbyteTracedException:
    """Names the first ten of `ids`."""
    named = ", ".join(map(str, ids[:10])) + (" and others" if len(ids) > 10 else "")
    return system_error(
        f"Coupa cannot send {len(ids)} record(s) of /api/{resource}: {named}. All others were "
        "synced, and each sync asks for these again. Open them in Coupa, and report them to Coupa "
        "if they fail there too."
    )


def too_many_gone(resource: str, known: int, absent: int) -> AirbyteTracedException:
    """For a list that does not show most of what it has shown before."""
    return config_error(
        f"{absent:,} of the {known:,} records of /api/{resource} that earlier syncs have read are "
        "not there any more. So many are seldom deleted at once, so nothing was marked as deleted. "
        "Records were synced as always. If the OAuth client or its user may see less than before, "
        "give the access back. If the records are deleted for good, clear the stream's data, or "
        "refresh it and remove its records.",
    )


def hidden(resource: str, after: int) -> AirbyteTracedException:
    return config_error(
        f"Coupa sends no records of /api/{resource} for many pages above id {after}, although "
        "there are some: it seems to hide records from the user of the OAuth client. The stream "
        "was stopped, because records could be missed. Give that user access to all content groups."
    )


def left_out(resource: str) -> AirbyteTracedException:
    """For a record whose id alone comes."""
    return system_error(f"Coupa leaves it out of pages of /api/{resource}, and lists its id.")


def in_front_of_coupa(host: str, status: int) -> AirbyteTracedException:
    """For a response that `bars_the_way`: its sender knows neither scope nor client."""
    return config_error(
        f"Something in front of {host} sends a web page (HTTP {status}) instead of Coupa's API: "
        "let the addresses of Airbyte pass the firewall or the IP allow list."
    )


def too_deep(resource: str) -> AirbyteTracedException:
    return system_error(
        f"Coupa sent a record of /api/{resource} whose parts are nested too deep to be read: the "
        "stream was stopped."
    )


def no_such_list(path: str, stream: str) -> AirbyteTracedException:
    """For a list below a parent that exists; the manifest says the same of other lists."""
    return config_error(
        f"This Coupa instance does not offer /api/{path} (HTTP 404): check the instance URL, or "
        f"deselect the stream {stream}."
    )


def access_refused(streams: Iterable[str]) -> AirbyteTracedException:
    """Names the first few streams; there are many."""
    first, *others = list(streams)
    named = ", ".join([first, *others[:2]]) + (" and others" if len(others) > 2 else "")
    return config_error(
        f"Coupa grants the scopes but refuses access to {named}: check in Coupa ({CLIENT_PAGE}) "
        "that the OAuth client is active and what its user may see."
    )


def token_not_accepted(host: str, scope: str) -> AirbyteTracedException:
    return config_error(
        f"{host} issues access tokens for {scope} but does not accept them (HTTP 401): check in "
        f"Coupa ({CLIENT_PAGE}) that the OAuth client is active and still has this scope."
    )


def redirected(host: str, response: requests.Response) -> AirbyteTracedException:
    """Explains a 3xx response. Only the host of its target is shown, if it is a plain one: the rest
    may hold what is nobody's business."""
    try:
        target = urlsplit(response.headers.get("Location", "")).hostname or ""
    except ValueError:
        target = ""
    is_plain = _PLAIN_HOST.fullmatch(target) and quoted(target) == target
    return config_error(
        f"{host} redirects to {target if is_plain else 'another page'}, where the connector "
        "does not follow: enter the address at which Coupa itself responds as the instance URL, "
        "not that of a login page or proxy."
    )


def not_a_token(host: str, response: requests.Response) -> AirbyteTracedException:
    """Explains a response to a token request that no OAuth endpoint gives."""
    status = response.status_code
    if bars_the_way(status, response.content):
        return in_front_of_coupa(host, status)
    if status == 200:
        return not_coupa(host, "its token endpoint responds without an access token")
    return not_coupa(host, f"its token endpoint responds with HTTP {status}")


def bars_the_way(status: int, body: bytes) -> bool:
    """Whether a response is the web page of something in front of Coupa. Those of other statuses
    can come from a server that is not Coupa."""
    start = body[:500].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return status in _BARRED and start.startswith(_HTML)


def not_coupa(host: str, seen: str) -> AirbyteTracedException:
    return config_error(
        f"{host} does not respond like a Coupa instance ({seen}): check the instance URL, for "
        "example https://acme.coupahost.com."
    )


def rate_limited(host: str) -> AirbyteTracedException:
    return transient_error(
        f"{host} reports that its request limit is used up (HTTP 429): try again in a minute, or "
        "lower the requests per second if other integrations share the limit."
    )


def wait_too_long(seconds: float) -> AirbyteTracedException:
    return transient_error(
        f"Coupa asks to wait {seconds / 60:.0f} minutes before the next request: the next sync "
        "continues where this one stopped."
    )


def unavailable(host: str, status: int) -> AirbyteTracedException:
    """For responses that mean that Coupa serves nobody for the time being."""
    return transient_error(
        f"{host} is not available right now (HTTP {status}), perhaps for maintenance: try again "
        "later.",
        kind=HostDownError,
    )


def unexpected_status(host: str, status: int) -> AirbyteTracedException:
    """For responses that neither Coupa documents nor the manifest knows."""
    if status >= 500:
        return unavailable(host, status)
    return system_error(
        f"{host} responds to a request with HTTP {status}, which does not say whether there are "
        "records: the stream was stopped, try again later."
    )


def refusal(host: str, response: requests.Response) -> AirbyteTracedException | None:
    """Explains responses that mean the same for every request; None for all others."""
    status = response.status_code
    if 300 <= status < 400:
        return redirected(host, response)
    if status == 429:
        return rate_limited(host)
    if status == 408 or status >= 500:
        return unavailable(host, status)
    return None


def unreachable(host: str, error: OSError) -> AirbyteTracedException:
    """Explains a request that got no response, a RequestException or what requests raises where
    its files are missing. Only the class of `error` is shown: its text can quote the request.

    Only what a handshake or a file proves is a setting; the rest may pass.
    """
    kind = type(error).__name__
    causes = list(_causes(error))
    tls = next((cause for cause in causes if isinstance(cause, ssl.SSLError)), None)
    if isinstance(tls, ssl.SSLCertVerificationError):
        return config_error(
            f"The TLS certificate of {host} could not be verified: check the instance URL, and "
            "that no proxy on the way replaces the certificate; if one has to, name its "
            "certificates with REQUESTS_CA_BUNDLE.",
            kind,
        )
    if tls is not None and tls.reason in _OLD_TLS:
        return config_error(
            f"{host} offers no version of TLS that is safe: have TLS 1.2 or newer turned on there, "
            "or in the proxy on the way.",
            kind,
        )
    if tls is not None and tls.reason in _NO_TLS:
        return config_error(
            f"{host} does not speak TLS: check the instance URL and the port in it, or the proxy "
            "on the way.",
            kind,
        )
    if (tls is not None and tls.reason in _NO_BUNDLE) or not isinstance(
        error, requests.RequestException
    ):
        return config_error(
            "The certificates that REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE names cannot be read: "
            "correct the path, or unset the variable.",
            kind,
        )
    if isinstance(error, requests.exceptions.InvalidSchema):
        return config_error(
            "The connector cannot use a SOCKS proxy: name an HTTP proxy in HTTPS_PROXY, or unset "
            "the variable.",
            kind,
        )
    if any(isinstance(cause, _BAD_PROXY) for cause in causes):
        return config_error(
            "The address of the proxy is not valid: write it into HTTPS_PROXY like "
            "proxy.example.com:8080, and encode special characters of its password.",
            kind,
        )
    if isinstance(error, requests.exceptions.ProxyError):
        return _proxy_failed(host, kind, causes)
    if isinstance(error, requests.exceptions.ReadTimeout):
        return transient_error(
            f"{host} is slow and did not respond in time: try again later.",
            kind,
            kind=HostDownError,
        )
    if any(
        isinstance(cause, requests.exceptions.InvalidURL) or _is_unknown(cause) for cause in causes
    ):
        # on Airbyte Cloud the CDK looks the host up first and reports it as an InvalidURL
        return transient_error(
            f"The host {host} does not exist: check the instance URL, for example "
            "https://acme.coupahost.com.",
            kind,
            kind=HostDownError,
        )
    return transient_error(
        f"{host} could not be reached: check the instance URL and that a firewall or IP allow list "
        "lets Airbyte in, then try again.",
        kind,
        kind=HostDownError,
    )


_OLD_TLS = {"UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION", "WRONG_SSL_VERSION"}
_NO_TLS = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "HTTPS_PROXY_REQUEST"}
_NO_BUNDLE = {"NO_CERTIFICATE_OR_CRL_FOUND", "NO_START_LINE", "BAD_BASE64_DECODE"}
_BAD_PROXY = (requests.exceptions.InvalidProxyURL, ProxySchemeUnknown, LocationParseError)


def _proxy_failed(host: str, kind: str, causes: list[BaseException]) -> AirbyteTracedException:
    said = " ".join(str(cause) for cause in causes if type(cause) is OSError)
    if re.search("Tunnel connection failed: 4", said):
        return config_error(
            f"The proxy on the way to {host} refused the connection: let it pass this host, and "
            "check its user and password in HTTPS_PROXY.",
            kind,
        )
    return transient_error(
        f"The proxy on the way to {host} did not connect: try again later and, if it stays so, "
        "check its address in HTTPS_PROXY.",
        kind,
        kind=HostDownError,
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An exception and those that it wraps, however requests and urllib3 do that."""
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        cause = waiting.pop(0)
        if not isinstance(cause, BaseException) or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        waiting += [getattr(cause, "reason", None), *cause.args, cause.__cause__, cause.__context__]


def _is_unknown(cause: BaseException) -> bool:
    return isinstance(cause, socket.gaierror) and cause.errno != socket.EAI_AGAIN
