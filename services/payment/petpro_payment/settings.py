"""What payment is told from outside."""

from decimal import Decimal
from typing import ClassVar

from pydantic import Field

from petpro_common.settings import ServiceSettings


class Settings(ServiceSettings):
    """Environment PETPRO_PAYMENT_*; secrets from files petpro_payment_*. Times are seconds."""

    service: ClassVar[str] = "payment"

    catalog_address: str
    provider: str = "sandbox"
    """The provider that takes new payments; one of `providers.registry`. Each reads settings of its own."""
    former_providers: str = ""
    """Names, with commas between, of those that take no new payments, and still answer for what they took."""
    pay_at_clinic: bool = True
    """Whether a customer may choose to pay at the clinic; we take nothing then, and owe nobody."""
    platform_tax_percent: Decimal = Field(Decimal(0), ge=0, le=100)
    """Tax that the platform owes on its own fee, in percent of that fee; it is taken out of the booking's price."""
    provider_timeout_seconds: float = Field(5.0, gt=0)
    """To connect to a provider, and between two reads of its answer. What takes longer has an unknown outcome."""
    not_found_grace_seconds: float = Field(30.0, ge=0)
    """How long after our last call a payment that the provider does not know may still turn up there."""
    lease_seconds: float = Field(30.0, gt=0)
    """A worker that is silent for so long is taken for dead, and another goes on."""
    poll_seconds: float = Field(1.0, gt=0)
    """The first pause before a provider is asked again; it doubles."""
    poll_limit_seconds: float = Field(30.0, gt=0)
    """The longest pause."""

    @property
    def providers(self) -> list[str]:
        """The names of all providers that payment speaks to; that of new payments comes first."""
        former = (name.strip() for name in self.former_providers.split(","))
        return list(dict.fromkeys([self.provider, *filter(None, former)]))
