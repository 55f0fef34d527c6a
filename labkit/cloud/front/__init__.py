"""The front: one loopback port, and all that a request passes before a service answers it (R3).

A request walks through `server` (the port) to `door`, which checks its `signature`, finds its
principal (`identity`) and its service (`services`). `deliveries` lets webhooks' payloads in;
`launcher` starts and ends the whole from outside.
"""
