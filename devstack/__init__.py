"""The embedded stack: the whole of PetPro on one machine, without Docker and without root.

Read in this order: `layout` (where things lie), `process` (one process under supervision), `part` (what a
part of the stack is), one file for each kind of part (`postgres`, `nats`, `mail`, `services`, `gateway`),
`stack` (all of them together), `control` (how others reach a running stack), `__main__` (the commands).
"""
