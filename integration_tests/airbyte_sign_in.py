"""Plays the part of Airbyte when a user signs in: the button of the form, and what follows it.

Airbyte's platform renders the templates of `advanced_auth` with a few filters of Jinja, sends the
user to the page of consent, exchanges the code, and puts what it gets into the settings. How it
does that stands in its classes `DeclarativeOAuthFlow` and `DeclarativeOAuthSpecHandler`.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import random
import string
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qsl, quote_plus, urlsplit

import requests
from jinja2 import Environment
from jsonschema import ValidationError, validate

Json = dict[str, Any]
Challenge = Callable[[str], str]

REDIRECT_URI = "https://airbyte.example.com/auth_flow"
_STATE_LETTERS = string.ascii_letters + string.digits + ".-_"


class SignInError(Exception):
    """What Airbyte shows the user instead of "authentication succeeded"."""


def challenge(verifier: str) -> str:
    """The filter `codechallengeS256` as it is: RFC 7636."""
    return older_challenge(verifier).translate({43: "-", 47: "_", 61: None})


def older_challenge(verifier: str) -> str:
    """The same filter of older versions of Airbyte, which gave plain base64."""
    return base64.b64encode(hashlib.sha256(verifier.encode()).digest()).decode()


class Airbyte:
    """One Airbyte, with the spec of the connector.

    Args:
        spec: the `spec` of its SPEC message.
        challenge: the filter `codechallengeS256`.
    """

    def __init__(self, spec: Mapping[str, Any], challenge: Challenge = challenge) -> None:
        self._spec = spec["advanced_auth"]
        self._oauth = self._spec["oauth_config_specification"]
        self._flow = self._oauth["oauth_connector_input_specification"]
        self._random = random.Random(7)
        self._jinja = Environment()
        self._jinja.filters = {
            "urlencode": quote_plus,
            "replace": lambda text, old, new: str(text).replace(old, new),
            "b64encode": lambda text: base64.b64encode(text.encode()).decode(),
            "codechallengeS256": challenge,
        }
        self._jinja.tests.clear()
        self._jinja.globals.clear()

    def shows_button(self, form: Mapping[str, Any]) -> bool:
        """Whether the form, as it is filled in, has the button to authenticate."""
        return bool(_at(form, self._spec["predicate_key"]) == self._spec["predicate_value"])

    def authenticate(self, form: Mapping[str, Any]) -> Json:
        """The settings after the user has signed in and consented.

        Raises:
            SignInError: if the form does not offer it, or Coupa refuses a step.
        """
        if not self.shows_button(form):
            raise SignInError("the form shows no button")
        values = self._values(form)
        url = urlsplit(self.consent_url(values))
        page = requests.get(url.geturl(), allow_redirects=False, timeout=10)
        if page.status_code != 302:
            raise SignInError(f"the page of consent says {page.status_code}")
        back = dict(parse_qsl(urlsplit(page.headers["Location"]).query))
        if "code" not in back:
            raise SignInError(f"no code came back, but {back.get('error')}")
        assert back["state"] == values["state_value"]
        return self._with_output(form, self._exchange({**values, "auth_code_value": back["code"]}))

    def consent_url(self, values: Mapping[str, str]) -> str:
        """Where the browser goes."""
        return self._render(self._flow["consent_url"], values)

    def values_for(self, form: Mapping[str, Any]) -> dict[str, str]:
        """The variables of the templates, for a form that the user has filled in."""
        return self._values(form)

    def _values(self, form: Mapping[str, Any]) -> dict[str, str]:
        entered = {}
        for part in ("complete_oauth_server_output", "oauth_user_input_from_connector_config"):
            for name, field in self._oauth[f"{part}_specification"]["properties"].items():
                value = _at(form, field["path_in_connector_config"])
                entered.update({} if value is None else {name: value})
        try:
            validate(entered, self._oauth["oauth_user_input_from_connector_config_specification"])
        except ValidationError as error:
            raise SignInError(error.message) from None
        size = self._random.randint(self._flow["state"]["min"], self._flow["state"]["max"])
        return {
            **entered,
            "client_id_value": entered["client_id"],
            "client_secret_value": entered["client_secret"],
            "redirect_uri_value": REDIRECT_URI,
            "state_value": "".join(self._random.choices(_STATE_LETTERS, k=size)),
        }

    def _exchange(self, values: Mapping[str, str]) -> Json:
        def rendered(part: str) -> dict[str, str]:
            return {
                self._render(key, values): self._render(value, values)
                for key, value in self._flow[part].items()
            }

        headers = rendered("access_token_headers")
        # JSON would be sent without this header
        assert headers["Content-Type"] == "application/x-www-form-urlencoded"
        response = requests.post(
            self._render(self._flow["access_token_url"], values),
            data=rendered("access_token_params"),
            headers=headers,
            timeout=10,
        )
        if response.status_code >= 400:
            raise SignInError(f"the token endpoint says {response.status_code}: {response.text}")
        body: Json = response.json()
        return body

    def _with_output(self, form: Mapping[str, Any], response: Json) -> Json:
        output = {}
        for key in self._flow["extract_output"]:
            if response.get(key) is None:
                raise SignInError(f"Missing '{key}' field in the `OAuth Output`")
            output[key] = str(response[key])
            if key == "expires_in":
                expiry = datetime.now(timezone.utc) + timedelta(seconds=int(response[key]))
                # Java prints nanoseconds
                output["token_expiry_date"] = f"{expiry:%Y-%m-%dT%H:%M:%S.%f}789Z"
        schema = self._oauth["complete_oauth_output_specification"]
        wanted = {key: value for key, value in output.items() if key in schema["properties"]}
        validate(wanted, schema)
        config: Json = copy.deepcopy(dict(form))
        for key, value in wanted.items():
            *parents, last = schema["properties"][key]["path_in_connector_config"]
            part = config
            for parent in parents:
                part = part.setdefault(parent, {})
            part[last] = value
        return config

    def _render(self, template: str, values: Mapping[str, str]) -> str:
        return self._jinja.from_string(template).render(values)


def _at(form: Mapping[str, Any], path: Sequence[str]) -> Any:
    value: Any = form
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
