"""What the account service is told: environment `PETPRO_ACCOUNT_*`, secrets from files."""

from typing import ClassVar

from pydantic import SecretStr

from petpro_common.settings import ServiceSettings


class Settings(ServiceSettings):
    """The common settings, the keys that sign tokens, and the first administrator.

    `signing_keys` is a JSON array of private ES256 JWKs: the first signs, all are published. To rotate, put the new
    key second, wait until everybody has fetched it, make it first, and drop the old one when its tokens have ended.
    Without `bootstrap_admin_email` no administrator is made.
    """

    service: ClassVar[str] = "account"

    signing_keys: SecretStr
    bootstrap_admin_email: str = ""
    bootstrap_admin_password: SecretStr = SecretStr("")
