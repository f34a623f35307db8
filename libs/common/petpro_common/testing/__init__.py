"""What tests of every service need: invented people, what is logged and refused, servicers behind the real edge."""

from petpro_common.testing.contracts import needed_fields
from petpro_common.testing.logs import logged
from petpro_common.testing.people import KeyRing
from petpro_common.testing.refusals import reason_of
from petpro_common.testing.running import eventually, running
from petpro_common.testing.serving import serving

__all__ = ["KeyRing", "eventually", "logged", "needed_fields", "reason_of", "running", "serving"]
