"""What Coupa leaves open, as switches: each can be played both ways.

The defaults are the most probable behaviour. "Documents" below means Coupa's public documentation;
everything else is unconfirmed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Play = Literal["honoured", "ignored", "refused"]
"""How a parameter is met: obeyed, passed over in silence, or refused with 400."""

BodyKind = Literal["json", "html", "empty", "object"]
"""The body of a refusal; "object" is `{}`."""


@dataclass(frozen=True)
class Refusal:
    """Status and body kind of one kind of refusal."""

    status: int
    body: BodyKind = "json"


@dataclass(frozen=True)
class RateLimit:
    """A token bucket. Coupa documents 25 requests per second with a burst of 20."""

    per_second: float = 25.0
    burst: int = 20


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """One possible Coupa instance."""

    page_cap: int = 50
    """Default and largest page. Coupa documents 50; an instance may serve fewer."""
    page_caps: Mapping[str, int] = field(default_factory=dict)
    """Resource -> its own cap; lists below single records are resources of their own."""
    hidden_every: int = 0
    """Rows whose id is a multiple of it are counted and then left out, as where a user may not see
    them: pages become shorter than the limit in the middle of a list."""
    no_match: Literal["empty", "not_found"] = "empty"
    """A JSON list without rows: `[]`, or 404 "No results match your search criteria"."""
    over_cap: Literal["cut", "refused"] = "cut"
    """A `limit` above the cap."""
    max_offset: int | None = None
    """Offsets above it get a 400; Coupa documents no limit."""

    order_by_id: Play = "honoured"
    order_by: Play = "honoured"
    """`order_by` on any attribute but id. Swagger lists the parameter, no page shows it."""
    default_order: Literal["id", "updated_at", "shuffled"] = "id"
    """Order of a list call without `order_by`. Coupa documents ascending id."""
    id_filter: Play = "honoured"
    """`id[gt]` and the other range operators on id."""
    id_list: Literal["honoured", "ignored", "refused", "first"] = "honoured"
    """`id[in]`; "first" takes only the first of its ids."""
    updated_at_filter: Play = "honoured"
    blank_time: Play = "honoured"
    """`blank` on date-times, which Coupa's pages 0007 and 0014 tell in two ways."""
    association_times: Play = "honoured"
    """Filters on the times of associated records, such as `remit-to-addresses[updated-at][gt]`."""
    association_rows: Literal["all", "matching"] = "all"
    """Which rows of a record come that is found by the time of one of them."""
    filter_zone: float | None = None
    """Hours east of UTC in which times of filters are read whatever their offset; None honours it.
    """
    unknown_parameter: Literal["ignored", "refused"] = "ignored"
    bad_datetime: Literal["refused", "best_effort"] = "refused"
    """A date-time that is not ISO 8601, such as one whose raw `+` became a space."""
    fields: Play = "honoured"
    nested_fields: Literal["whole", "ids", "refused"] = "whole"
    """What comes of an object or list that `fields` names without saying what of it."""
    fields_depth: int | None = None
    """Levels of objects that come with `fields`; what lies deeper is left out. None for all."""
    fields_join: Literal["outer", "inner"] = "outer"
    """Whether records come that lack an association that `fields` names; "inner" hides them."""
    lists_inside: Play = "honoured"
    """Lists below records (`users/:user_id/addresses`) that `fields` names with what of them shall
    come, and filters on their attributes: they come inside of the record, or are passed over."""
    lists_inside_whole: bool = True
    """Whether all of such a list comes where `fields` names it with an empty list, or its ids."""
    lists_inside_cap: int | None = None
    """Rows of such a list that come at most."""
    lists_inside_lack: frozenset[str] = frozenset()
    """Fields (dashed) of such rows that do not come."""
    lists_inside_cut: frozenset[str] = frozenset()
    """Objects (dashed) in such rows of which only the id comes."""
    return_object: Play = "honoured"
    response_filter: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Resource -> top-level keys (dashed) kept by the admin's default API response filter."""
    response_filters: Mapping[str, Mapping[str, frozenset[str]]] = field(default_factory=dict)
    """Resource -> API response filters by name, which a call can ask for by `filter`; a name that
    there is not gives 400."""
    ignored_filters: frozenset[str] = frozenset()
    """Attributes (underscored) whose filters are passed over in silence."""
    deleted_lines: Literal["flag", "status", "ignored", "refused"] = "flag"
    """`show_deleted_lines=true` for purchase orders and their lines: lines marked `"deleted": true`
    come with that flag, or with the status "deleted"; or the parameter does nothing, or gives 400.
    """

    missing_token: Refusal = Refusal(401)
    missing_scope: Refusal = Refusal(403)
    bad_client: Refusal = Refusal(401)
    bad_scope: Refusal = Refusal(400)
    token_without_scope: Literal["all", "none", "refused"] = "all"
    token_shows_scope: bool = False
    token_lifetime: float = 86_399.0
    """Seconds. Coupa documents `expires_in` 86399."""
    token_warmup: float = 0.0
    """Seconds until a new token is accepted. Coupa advises to wait five seconds."""
    newest_token_only: bool = False
    """Whether a new token ends all earlier ones of its client."""
    token_limit: RateLimit | None = None
    """Token requests beyond it are refused as `access_denied`."""
    too_many_tokens: Refusal = Refusal(400)

    refresh_token: Literal["kept", "repeated", "rotated"] = "kept"
    """What comes with a renewed token: no refresh token, the same, or one that replaces it."""
    bad_refresh_token: Refusal = Refusal(400)
    renewal_ends_tokens: bool = False
    """Whether earlier access tokens of a sign-in end with its renewal."""
    pkce: Literal["honoured", "ignored"] = "honoured"

    rate_limit: RateLimit | None = RateLimit()
    counts_token_requests: bool = False
    rate_limited: Refusal = Refusal(429)
    retry_after: Literal["seconds", "date"] | None = None

    offsets: Literal["per_record", "per_response", "utc"] = "per_record"
    """Zone of printed times: the record's own, one for each response, or UTC."""
    compression: Literal["none", "gzip"] = "none"
    """What bodies come in where the client accepts it."""

    def but(self, **changes: Any) -> Dialect:
        """The same instance with some switches changed."""
        return replace(self, **changes)


def interesting_dialects() -> dict[str, Dialect]:
    """Dialects by name, each with one open question decided the other way.

    A correct reader gets every record under all of them or fails with a clear error; it must never
    lose a record in silence.
    """
    usual = Dialect()
    return {
        "usual": usual,
        "page cap 20": usual.but(page_cap=20),
        "large limit refused": usual.but(over_cap="refused"),
        "offset limited": usual.but(max_offset=500),
        "order_by=id ignored": usual.but(order_by_id="ignored"),
        "order_by=id refused": usual.but(order_by_id="refused"),
        "order_by=id ignored, ordered by updated_at": usual.but(
            order_by_id="ignored", default_order="updated_at"
        ),
        "order_by=id ignored, shuffled": usual.but(order_by_id="ignored", default_order="shuffled"),
        "default order shuffled": usual.but(default_order="shuffled"),
        "id ranges ignored": usual.but(id_filter="ignored"),
        "id ranges refused": usual.but(id_filter="refused"),
        "updated_at ignored": usual.but(updated_at_filter="ignored"),
        "updated_at refused": usual.but(updated_at_filter="refused"),
        "times of associations ignored": usual.but(association_times="ignored"),
        "times of associations refused": usual.but(association_times="refused"),
        "rows that match alone": usual.but(association_rows="matching"),
        "unknown parameters refused": usual.but(unknown_parameter="refused"),
        "fields ignored": usual.but(fields="ignored"),
        "fields refused": usual.but(fields="refused"),
        "fields give ids of nested objects": usual.but(nested_fields="ids"),
        "fields refuse nested objects": usual.but(nested_fields="refused"),
        "lists inside of records ignored": usual.but(lists_inside="ignored"),
        "lists inside of records refused": usual.but(lists_inside="refused"),
        "lists inside of records by names alone": usual.but(lists_inside_whole=False),
        "lists inside of records capped": usual.but(lists_inside_cap=2),
        "times in one zone per response": usual.but(offsets="per_response"),
        "times in UTC": usual.but(offsets="utc"),
        "missing scope is 401": usual.but(missing_scope=Refusal(401, "empty")),
        "missing scope is 403 html": usual.but(missing_scope=Refusal(403, "html")),
        "bad scope is 401": usual.but(bad_scope=Refusal(401)),
        "bad client is 400": usual.but(bad_client=Refusal(400)),
        "bad client is 401 with {}": usual.but(bad_client=Refusal(401, "object")),
        "token needs a second": usual.but(token_warmup=1.0),
        "token shows scope": usual.but(token_shows_scope=True),
        "Retry-After in seconds": usual.but(retry_after="seconds"),
        "Retry-After as date": usual.but(retry_after="date"),
        "429 is html": usual.but(rate_limited=Refusal(429, "html")),
        "only the newest token is valid": usual.but(newest_token_only=True),
        "tokens count for the rate limit": usual.but(counts_token_requests=True),
    }
