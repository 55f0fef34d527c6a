"""CodeBuild: a project's commands really run, in a shell on this machine.

`service` takes the request and queues a build; `runner` walks it through its phases, with
`preparation` (`source`, `buildspec`, `environment`), `shell` and `artifacts` for the work of each,
and `logs` and `events` to tell of it.
"""
