"""The connection's settings as Python uses them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from source_coupa.errors import config_error

_LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_INSTANCE_URL = re.compile(
    rf"(?:https://(?P<name>{_LABEL}(?:\.{_LABEL})+)|http://localhost(?=:))(?::(?P<port>[0-9]{{1,5}}))?"
)
_LONGEST_NAME = 253
_HIGHEST_PORT = 65_535
_START_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)

_ADVICE = {
    "instance_url": "Instance URL must be the https address of your Coupa instance and nothing "
    "more, for example https://acme.coupahost.com",
    "client_id": "Client ID must be the identifier of an OAuth client in Coupa",
    "client_secret": "Client secret must be the secret of the OAuth client in Coupa",
    "start_date": "Start date must be a date and time with time zone, for example "
    "2024-01-01T00:00:00Z",
    "lookback_window_hours": "Look-back window must be a whole number of hours from 0 to 720",
    "requests_per_second": "Requests per second must be a whole number from 1 to 25",
    "num_workers": "Number of workers must be a whole number from 2 to 40",
}


class CoupaConfig(BaseModel):
    """Checked settings, in the form to which the manifest's config migration brings them.

    `instance_url` has no trailing slash, path or credentials, so that `instance_url + "/api/..."`
    can only ever be a request to the configured host.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    instance_url: str
    client_id: str = Field(min_length=1)
    client_secret: SecretStr = Field(min_length=1)
    start_date: AwareDatetime | None = None
    lookback_window_hours: int = Field(default=2, ge=0, le=720, strict=True)
    requests_per_second: int = Field(default=20, ge=1, le=25, strict=True)
    num_workers: int = Field(default=20, ge=2, le=40, strict=True)

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
        if len(match["name"] or "") > _LONGEST_NAME or int(match["port"] or 0) > _HIGHEST_PORT:
            raise ValueError("no such address can exist")
        return value

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
            field = str(error.errors()[0]["loc"][0])
            raise config_error(f"{_ADVICE[field]}.") from None

    @property
    def host(self) -> str:
        """Host and port, for messages and to compare with the host of a request."""
        return self.instance_url.partition("://")[2]
