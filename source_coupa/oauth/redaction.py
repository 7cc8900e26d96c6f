"""Keeps credentials out of all output."""

from __future__ import annotations

import html
import json
from urllib.parse import quote, quote_plus

from airbyte_cdk.utils.airbyte_secrets_utils import add_to_secrets


def hide(secret: str) -> None:
    """Replaces `secret` by asterisks in whatever the CDK prints from now on.

    Its encoded forms too: an error page can quote a request, a log line can quote that page.
    """
    forms = {secret, html.escape(secret), quote(secret, safe=""), quote_plus(secret)}
    forms |= {repr(form)[1:-1] for form in forms}
    forms |= {json.dumps(form)[1:-1] for form in forms} | {
        json.dumps(form, ensure_ascii=False)[1:-1] for form in forms
    }
    forms |= {form.replace("/", "\\/") for form in forms}
    # the longest first, so that none is cut up before it is found
    for form in sorted(forms, key=len, reverse=True):
        add_to_secrets(form)
