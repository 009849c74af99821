"""Withdraws observation requests of retracted targets at their facility.

The decision is stored with the retraction (`schedule`, in its transaction). The calls follow later (`run`) and are repeated
with growing pauses until the facility agrees, answers that it is too late, or the attempts are used up. A request that is
already over is left alone. The target's page shows state and answer.
"""

from __future__ import annotations

import logging
from datetime import timedelta

import requests
from django import forms
from django.utils import timezone
from tom_common.exceptions import ImproperCredentialsException
from tom_observations.facility import get_service_class
from tom_observations.models import ObservationRecord

from .models import DerivedAlert, Withdrawal

_log = logging.getLogger(__name__)

#: Calls per request before a person has to act.
MAX_ATTEMPTS = 8
#: Pause after the first failure; doubled after each further one.
FIRST_PAUSE = timedelta(seconds=15)
#: Exceptions of the toolkit's facilities if a portal cannot be reached, refuses, or sends an invalid answer.
_FACILITY_ERRORS = (
    requests.RequestException,
    forms.ValidationError,
    ImproperCredentialsException,
    NotImplementedError,
    ImportError,
    KeyError,
    TypeError,
    ValueError,
)


def schedule(target_pk: int, retraction: DerivedAlert) -> int:
    """Schedule every open request of the target for withdrawal; returns how many are new."""
    noted = 0
    for record in ObservationRecord.objects.filter(target_id=target_pk):
        if _is_over(record):
            continue
        _, created = Withdrawal.objects.get_or_create(
            record=record, defaults={"retraction": retraction, "next_attempt": timezone.now()}
        )
        noted += created
    return noted


def run() -> dict[str, int]:
    """Execute due withdrawals; returns their number by state. Never raises for a facility's failure."""
    counts = dict.fromkeys(Withdrawal.State.values, 0)
    due = Withdrawal.objects.filter(state=Withdrawal.State.WAITING, next_attempt__lte=timezone.now())
    for pending in due.select_related("record__target"):
        _attempt(pending)
        counts[pending.state] += 1
    return counts


def _attempt(pending: Withdrawal) -> None:
    record = pending.record
    pending.attempts += 1
    try:
        state = _withdraw(record)
    except _FACILITY_ERRORS as error:
        pending.note = f"{record.facility} did not withdraw request {record.observation_id}: {error}"[:2000]
        last = pending.attempts >= MAX_ATTEMPTS or isinstance(error, NotImplementedError | ImportError)
        pending.state = Withdrawal.State.FAILED if last else Withdrawal.State.WAITING
        pending.next_attempt = timezone.now() + FIRST_PAUSE * 2 ** (pending.attempts - 1)
        _log.warning("%s (attempt %d of %d)", pending.note, pending.attempts, MAX_ATTEMPTS)
    else:
        pending.state, pending.note = Withdrawal.State.DONE, f"{record.facility} says {state}"
        _log.info("request %s at %s: %s", record.observation_id, record.facility, state)
    pending.save()


def _withdraw(record: ObservationRecord) -> str:
    """Cancel at the facility and return the state it gives; a request that is over counts as done."""
    facility = get_service_class(record.facility)()
    if record.user is not None:
        facility.set_user(record.user)
    refusal: forms.ValidationError | None = None
    try:
        agreed = facility.cancel_observation(record.observation_id)
    except forms.ValidationError as error:
        # The portal answers 400 for a request that is already over: check its state.
        agreed, refusal = False, error
    facility.update_observation_status(record.observation_id)
    record.refresh_from_db()
    if agreed or record.status in facility.get_terminal_observing_states():
        return record.status
    raise refusal or forms.ValidationError(f"the facility answers {record.status or 'nothing'}")


def _is_over(record: ObservationRecord) -> bool:
    try:
        return bool(record.terminal)
    except ImportError:
        # The facility is no longer configured; the attempt's answer will say so on the target's page.
        return False
