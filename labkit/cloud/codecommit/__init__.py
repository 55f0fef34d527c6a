"""CodeCommit: real bare git repositories, served over HTTP by git's own backend.

`service` answers the API, `repositories` keeps the bare repositories, `http` speaks git's protocol,
and a push that moves a reference becomes an event on the bus.
"""
