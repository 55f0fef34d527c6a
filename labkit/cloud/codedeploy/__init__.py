"""CodeDeploy: revisions brought to hosts by an agent that runs their hooks.

`api` takes the request; `deployment` begins, ends and rolls back; `strategies` decide which targets
are deployed to, in which order and when it is enough; `agent` does the work of each lifecycle event on
one host, with `appspec`, `install` and `hooks`.
"""
