"""CodeDeploy: revisions brought to hosts by an agent that runs their hooks.

`service` takes the request (`declarations`, what it is declared with); `deployment` decides which
hosts are deployed to, in which order and when it is enough; `agent` does the work of each lifecycle
event on one host, with `appspec`, `install` and `hooks`.
"""
