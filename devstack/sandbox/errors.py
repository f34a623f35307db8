"""What the sandbox refuses, and how it says so.

    ProviderError
    ├── InvalidRequest    400  the call itself is wrong; nothing was done
    ├── Unauthenticated   401  no API key, or another one
    ├── PaymentDeclined   402  the customer's bank said no
    ├── RefundRefused     402  the refund will never happen
    ├── NotFound          404  no such object or route
    ├── IdempotencyMisuse 409  the key was used for another request
    ├── WrongState        409  the object's state does not allow it
    └── InternalFault     500  nothing was done; the same call may work later

An error that is raised undoes the whole transaction. An error that is part of the outcome (a declined
payment) is returned as an `Answer` and kept under its idempotency key like any other answer.
"""

from typing import Any, ClassVar

Json = dict[str, Any]


class ProviderError(Exception):
    """A refusal with its HTTP status, type and code."""

    status: ClassVar[int]
    type: ClassVar[str]

    def __init__(self, code: str, message: str, *, param: str | None = None, **about: Json) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param
        self.about = about

    def body(self) -> Json:
        """The JSON of the error, with the object that it is about where there is one."""
        error: Json = {"type": self.type, "code": self.code, "message": self.message, **self.about}
        if self.param is not None:
            error["param"] = self.param
        return {"error": error}


class InvalidRequest(ProviderError):
    """The call itself is wrong."""

    status = 400
    type = "invalid_request_error"


class Unauthenticated(ProviderError):
    """No API key, or another one."""

    status = 401
    type = "authentication_error"


class PaymentDeclined(ProviderError):
    """The customer's bank said no."""

    status = 402
    type = "payment_error"


class RefundRefused(ProviderError):
    """The refund will never happen."""

    status = 402
    type = "refund_error"


class NotFound(ProviderError):
    """No such object or route."""

    status = 404
    type = "invalid_request_error"


class IdempotencyMisuse(ProviderError):
    """The key was used for another request."""

    status = 409
    type = "idempotency_error"


class WrongState(ProviderError):
    """The object's state does not allow it."""

    status = 409
    type = "state_error"


class InternalFault(ProviderError):
    """Nothing was done; the same call may work later."""

    status = 500
    type = "api_error"
