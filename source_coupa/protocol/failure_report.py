"""How the failures of a read are reported: each message once per stream, and one summary."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from airbyte_cdk.models import AirbyteErrorTraceMessage, AirbyteMessage, FailureType
from airbyte_cdk.utils.airbyte_secrets_utils import filter_secrets
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

_MOST_PRESSING_FIRST = (
    FailureType.config_error,
    FailureType.system_error,
    FailureType.transient_error,
)


def reported_once(messages: Iterable[AirbyteMessage]) -> Iterator[AirbyteMessage]:
    """Passes the messages of a read on, without the repetitions that each window of a failed
    stream brings, and without secrets in traces, which the CDK prints as they are.

    Raises:
        AirbyteTracedException: at the end if a stream failed, with the message of each one and
            the most pressing of their failure types. The CDK would repeat every window's message
            and call each failure a `config_error`, after which Airbyte does not try again.
    """
    reported: dict[tuple[str | None, str], AirbyteErrorTraceMessage] = {}
    try:
        for message in messages:
            error = message.trace.error if message.trace else None
            if error is not None:
                _without_secrets(error)
                key = (_stream(error), error.message)
                if key in reported:
                    continue
                reported[key] = error
            yield message
    except AirbyteTracedException as failure:
        if not reported:
            raise
        raise _summary(reported) from failure
    if reported:
        raise _summary(reported)


def _summary(
    reported: dict[tuple[str | None, str], AirbyteErrorTraceMessage],
) -> AirbyteTracedException:
    types = [error.failure_type for error in reported.values()]
    texts = [f"{stream}: {text}" for stream, text in reported]
    return AirbyteTracedException(
        message="Some streams could not be synced. " + " ".join(texts),
        internal_message="see the trace of each stream",
        failure_type=next(
            (kind for kind in _MOST_PRESSING_FIRST if kind in types), FailureType.system_error
        ),
    )


def _stream(error: AirbyteErrorTraceMessage) -> str | None:
    return error.stream_descriptor.name if error.stream_descriptor else None


def _without_secrets(error: AirbyteErrorTraceMessage) -> None:
    error.message = filter_secrets(error.message)
    error.internal_message = filter_secrets(error.internal_message or "")
    error.stack_trace = filter_secrets(error.stack_trace or "")
