"""`petproctl audit`: what holds at every quiet moment, looked up over all services while traffic flows.

    every invariant ──► suspects ──► looked at again, twice ──► violations

An invariant is a function with a docstring: what it guarantees, and what keeps a saga in flight from looking like a
fault. Those of one database read one snapshot, so nothing can be half done there. Those over several databases leave
out what changed within the grace, and whatever belongs to a saga that has not ended. A suspect counts only when every
look shows it. Nothing is ever written: sessions are read-only.
"""
