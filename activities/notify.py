"""The activity `agent.notify`: tells the operator's webhook of a gate, and a test of that webhook for the console."""

import uuid
from datetime import UTC, datetime, timedelta

import structlog
from pydantic import SecretStr
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.heartbeat import Heartbeater
from activities.slack import message
from activities.webhook import LONGEST_WAIT, NotPosted, Refused, Trouble, Webhook
from agents.canonical import digest
from agents.card import Card
from agents.gate import GateKind
from agents.notice import Notice, notice_key

log = structlog.get_logger()

REFUSED = "NotifyRefused"
"""Type of a failure for good: the webhook does not want the message."""

TROUBLE = "NotifyTrouble"
"""Type of a failure that the next attempt may not meet."""

DEPLOY_ATTEMPTS = 4
"""Attempts before a webhook counts as not configured: in the middle of a deploy another worker may have it."""


class NotifyActivities:
    """Posts notices.

    Args:
        webhook: None where this worker has none.
    """

    def __init__(self, webhook: Webhook | None) -> None:
        self._webhook = webhook

    @activity.defn(name="agent.notify")
    async def notify(self, notice: Notice) -> None:
        """Post one notice.

        Raises:
            ApplicationError: The webhook has not taken it: type `REFUSED` for good, else `TROUBLE`.
        """
        info = activity.info()
        about = {"run": notice.run, "gate": notice.card.gate, "what": notice.what, "number": notice.number}
        if self._webhook is None:
            raise _not_configured(info.attempt)
        async with Heartbeater():
            try:
                status = await self._webhook.post(message(notice), notice_key(notice))
            except Refused as error:
                log.warning("notice refused", **about, reason=str(error))
                raise ApplicationError(str(error), type=REFUSED, non_retryable=True) from None
            except Trouble as error:
                log.warning("notice not posted", **about, reason=str(error), wait_seconds=error.wait)
                raise _again(error, notice_key(notice), info.attempt) from None
        log.info("notice posted", **about, status=status)


async def try_webhook(url: SecretStr, secret: SecretStr | None) -> str | None:
    """Post a message that says that it is a test. Why the webhook has not taken it; None: it has."""
    notice = _test_notice(uuid.uuid4().hex)
    try:
        await Webhook(url, secret).post(message(notice), notice_key(notice))
    except NotPosted as error:
        return str(error)
    return None


def _again(error: Trouble, key: str, attempt: int) -> ApplicationError:
    delay = None if error.wait is None else timedelta(seconds=error.wait + spread(key, attempt))
    return ApplicationError(str(error), type=TROUBLE, next_retry_delay=delay)


def spread(key: str, attempt: int) -> float:
    """Seconds beyond a stated wait, other ones for each message, up to twice as many at every attempt.

    Slack takes about one message a second: a hundred that it has put off together must not come back together.
    """
    return int(key[:8], 16) / 16**8 * min(2.0 ** (attempt - 1), LONGEST_WAIT)


def _not_configured(attempt: int) -> ApplicationError:
    return ApplicationError(
        "this worker has no webhook, and had one when the run began: set AGENT_NOTIFY_URL on every worker",
        type=REFUSED,
        non_retryable=attempt >= DEPLOY_ATTEMPTS,
    )


def _test_notice(nonce: str) -> Notice:
    card = Card(
        gate="t1.c1",
        call=None,
        kind=GateKind.APPROVAL,
        tool="a test of this webhook",
        summary="Nothing waits, and there is nothing to do.",
        reason="somebody ran `starter.py notify --test`",
        risk="low",
        digest=digest(nonce),
        since=datetime.now(UTC),
        deadline=None,
        command="python starter.py inbox",
        others=(),
    )
    return Notice(run="test", agent="test", tenant="default", what="asks", number=1, card=card)
