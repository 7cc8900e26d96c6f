"""The connection's settings as Python uses them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from source_coupa.errors import config_error
from source_coupa.query_filter import ListFilter, conditions_of

SANDBOX_VARIABLE = "SOURCE_COUPA_SANDBOX"
"""The environment variable that allows instance URLs of a sandbox: `http://localhost:<port>` and
addresses of machines. Otherwise, settings could send credentials into the network of whoever runs
the connector for others."""

_LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_INSTANCE_URL = re.compile(
    rf"(?:https://(?P<name>{_LABEL}(?:\.{_LABEL})+)|http://localhost(?=:))(?::(?P<port>[0-9]{{1,5}}))?"
)
_PUBLIC_NAME = re.compile(r".*\.(?!localhost$)(?:[a-z]{2,}|xn--[a-z0-9-]+)")
"""A name that is no address of a machine and does not mean this one."""
_LONGEST_NAME = 253
_HIGHEST_PORT = 65_535
_SCOPES = r"^[A-Za-z0-9_.:, -]*$"
_SCOPE = r"^[A-Za-z0-9_.:-]+$"
_STREAM_NAME = r"^[a-z][a-z0-9_]{0,62}$"
_PATH = r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$"
_PLAIN_TEXT = r"^[^\x00-\x1f\x7f]{0,255}$"
_START_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)

_ADVICE = {
    "instance_url": "Instance URL must be the https address of your Coupa instance and nothing "
    "more, for example https://acme.coupahost.com",
    "client_id": "Client ID must be the identifier of an OAuth client in Coupa",
    "client_secret": "Client secret must be the secret of the OAuth client in Coupa",
    "credentials": "Grant type must be an object whose auth_type is client_credentials or "
    "authorization_code",
    "auth_type": "Grant type must be an object whose auth_type is client_credentials or "
    "authorization_code",
    "scopes": "Scopes must be names of scopes as Coupa shows them, for example core.user.read "
    "core.invoice.read",
    "refresh_token": "Refresh token must be the one that Coupa gave at sign-in: authenticate in "
    "the settings of the source, or enter one",
    "access_token": "Access token must be the one that Coupa gave at sign-in, or be left out",
    "token_expiry_date": "Token expiry date must be a date and time with time zone, for example "
    "2024-01-01T00:00:00Z, or be left out",
    "start_date": "Start date must be a date and time with time zone, for example "
    "2024-01-01T00:00:00Z",
    "lookback_window_hours": "Look-back window must be a whole number of hours from 0 to 720",
    "deleted_records_every_days": "Look for deleted records every so many days must be a "
    "whole number from 0 to 365",
    "requests_per_second": "Requests per second must be a whole number from 1 to 25",
    "num_workers": "Number of workers must be a whole number from 2 to 100",
    "filters": "Filters must be a list with a stream in each entry, and a filter, the name of an "
    "API response filter, or both",
    "additional_lists": "Additional lists must be a list with a name, a path and a scope in each "
    "entry",
    "name": "The name of an additional list must be lower case letters, digits and underscores, "
    "and begin with a letter, for example spaceships",
    "path": "The path of an additional list must be that of a list below /api/ and nothing more, "
    "for example custom_objects/12/object_instances",
    "scope": "The scope of an additional list must be one that Coupa shows, for example "
    "core.common.read",
    "incremental": "Incremental must be true or false, or be left out",
}


def _fits_a_header(token: SecretStr) -> SecretStr:
    if not re.fullmatch("[!-~]+", token.get_secret_value()):
        raise ValueError("no token")
    return token


HeaderToken = Annotated[SecretStr, AfterValidator(_fits_a_header)]
"""A token of visible ASCII characters, as an Authorization header can carry it."""


def _stripped(value: object) -> object:
    return value.strip() if isinstance(value, str) else value


class _Part(BaseModel):
    """A part of the settings; what is empty in it counts as left out."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _nothing_means_left_out(cls, values: object) -> object:
        if not isinstance(values, Mapping):
            return values
        pasted = {key: _stripped(value) for key, value in values.items()}
        return {key: value for key, value in pasted.items() if value not in (None, "")}


class AuthorizationCode(_Part):
    """What a user's sign-in gave: a refresh token, and the access token that came with it.

    `scopes` are those that are asked for at sign-in, separated by blanks or commas.
    """

    auth_type: Literal["authorization_code"]
    scopes: Annotated[str, StringConstraints(pattern=_SCOPES)] = ""
    refresh_token: SecretStr
    access_token: HeaderToken | None = None
    token_expiry_date: AwareDatetime | None = None

    @field_validator("token_expiry_date", mode="before")
    @classmethod
    def _is_text(cls, value: object) -> object:
        if not isinstance(value, str):
            raise ValueError("no text")
        return value

    @property
    def asked_scopes(self) -> frozenset[str]:
        """The scopes one by one."""
        return frozenset(re.findall(r"[^ ,]+", self.scopes))


class StreamFilter(_Part):
    """What the settings ask of one stream, and so of the list that it is made of."""

    stream: str
    filter: str = ""
    response_filter: Annotated[str, StringConstraints(pattern=_PLAIN_TEXT)] = ""

    @field_validator("filter")
    @classmethod
    def _can_be_understood(cls, value: str) -> str:
        conditions_of(value)
        return value

    @property
    def of_list(self) -> ListFilter:
        """The same, understood."""
        return ListFilter(conditions_of(self.filter), self.response_filter)


class AdditionalList(_Part):
    """A list of the instance that no stream of the connector reads.

    `path` is a path below /api/ in the form of `_PATH`. It cannot name another host.
    """

    name: Annotated[str, StringConstraints(pattern=_STREAM_NAME)]
    path: Annotated[str, StringConstraints(pattern=_PATH)]
    scope: Annotated[str, StringConstraints(pattern=_SCOPE)]
    incremental: Annotated[bool, Field(strict=True)] = True

    @field_validator("path", mode="before")
    @classmethod
    def _is_below_api(cls, value: object) -> object:
        return re.sub("^/?api/|^/", "", value) if isinstance(value, str) else value


class CoupaConfig(BaseModel):
    """Checked settings, in the form to which the manifest's config migration brings them.

    `instance_url` has no trailing slash, path or credentials, so that `instance_url + "/api/..."`
    can only ever be a request to the configured host.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    instance_url: str
    client_id: str = Field(min_length=1)
    client_secret: SecretStr = Field(min_length=1)
    credentials: AuthorizationCode | None = None
    """None for the grant type client credentials, which needs no more than the client."""
    start_date: AwareDatetime | None = None
    lookback_window_hours: int = Field(default=2, ge=0, le=720, strict=True)
    deleted_records_every_days: int = Field(default=0, ge=0, le=365, strict=True)
    requests_per_second: int = Field(default=20, ge=1, le=25, strict=True)
    num_workers: int = Field(default=50, ge=2, le=100, strict=True)
    filters: tuple[StreamFilter, ...] = ()
    additional_lists: tuple[AdditionalList, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _null_means_default(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in values.items() if value is not None}

    @field_validator("instance_url")
    @classmethod
    def _is_only_a_host(cls, value: str) -> str:
        match = _INSTANCE_URL.fullmatch(value)
        if match is None:
            raise ValueError("not the address of a host")
        is_public = match["name"] is not None and _PUBLIC_NAME.fullmatch(match["name"])
        if not is_public and not os.environ.get(SANDBOX_VARIABLE):
            raise ValueError("an address within a network, at which no Coupa instance is")
        if len(match["name"] or "") > _LONGEST_NAME or int(match["port"] or 0) > _HIGHEST_PORT:
            raise ValueError("no such address can exist")
        return value

    @field_validator("credentials", mode="before")
    @classmethod
    def _client_credentials_need_none(cls, value: object) -> object:
        if not isinstance(value, Mapping):
            return value
        entered = {key: item for key, item in value.items() if item is not None}
        return None if entered.get("auth_type") == "client_credentials" else entered or None

    @field_validator("start_date", mode="before")
    @classmethod
    def _has_the_form_of_the_spec(cls, value: object) -> object:
        if not isinstance(value, str) or not _START_DATE.fullmatch(value):
            raise ValueError("not in the form that the spec asks for")
        return value

    @classmethod
    def parse(cls, config: Mapping[str, Any]) -> CoupaConfig:
        """Checks the settings of a connection.

        Raises:
            AirbyteTracedException: `config_error` naming the first wrong field and what belongs
                there. The wrong value is not shown, it may be a secret in the wrong field.
        """
        try:
            return cls.model_validate(dict(config))
        except ValidationError as error:
            wrong = error.errors()[0]
            if wrong["loc"][0] == "filters" and wrong["type"] == "value_error":
                said = wrong["ctx"]["error"]
                raise config_error(f"Filters, entry {int(wrong['loc'][1]) + 1}: {said}.") from None
            field = [part for part in wrong["loc"] if part in _ADVICE][-1]
            raise config_error(f"{_ADVICE[field]}.") from None

    @classmethod
    def additional_lists_of(cls, config: Mapping[str, Any]) -> tuple[AdditionalList, ...]:
        """The additional lists of settings that are not checked yet; none if they are wrong, which
        `parse` says."""
        try:
            return _ADDITIONAL_LISTS.validate_python(config.get("additional_lists") or ())
        except ValidationError:
            return ()

    @property
    def host(self) -> str:
        """Host and port, for messages and to compare with the host of a request."""
        return self.instance_url.partition("://")[2]


_ADDITIONAL_LISTS = TypeAdapter(tuple[AdditionalList, ...])
