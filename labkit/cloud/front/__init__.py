"""The front: one loopback port, and all that a request passes before a service answers it (R3).

A request walks through `server` (the port) to `door`, which checks its `signature`, finds who signed
and its service (`services`). `launcher` starts and ends the whole from outside, `__main__` is what it
starts; `tables` has moto read its large tables late.
"""
