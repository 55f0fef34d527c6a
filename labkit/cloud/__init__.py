"""The local AWS: one loopback port behind which builds run, hosts deploy and sites answer.

A request walks: `server` (the port) -> `door` (signature, principal, record) -> moto, or one of
the four Code services that stand in moto's place. A service does its work through the same door,
with the temporary credentials of its role (`clients`), and tells the others by events (`bus`).
"""
