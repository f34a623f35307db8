"""What a CronJob may have done once, beside what the service does by itself all day; see `petpro_common.job`."""

from collections.abc import Mapping
from datetime import timedelta
from functools import partial

from petpro_account.domain import RESET_LIFE, VERIFICATION_LIFE
from petpro_common.housekeeping import PURGES as COMMON
from petpro_common.housekeeping import Purge, purge_all
from petpro_common.job import Job

# A used token is kept while it lasts: only so is its second coming known for what it is.
PURGES = (
    Purge("refresh_tokens", "expires_at", timedelta(days=1)),
    Purge("sessions", "expires_at", timedelta(days=1)),
    Purge("sign_in_failures", "window_started_at", timedelta(days=1)),
    Purge("password_resets", "expires_at", timedelta(days=1)),
    Purge("password_reset_requests", "window_started_at", RESET_LIFE),
    Purge("email_verifications", "expires_at", timedelta(days=1)),
    Purge("email_verification_requests", "window_started_at", VERIFICATION_LIFE),
)

JOBS: Mapping[str, Job] = {"purge": partial(purge_all, purges=COMMON + PURGES)}
