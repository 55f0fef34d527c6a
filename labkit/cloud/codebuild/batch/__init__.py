"""Batch builds: one request, several builds of a project that depend on each other or run at once.

`api.batches` takes the request; `engine` walks the batch: a first build, `DOWNLOAD_SOURCE`, brings
the source and reads the buildspec's `batch` (`spec`), then every task becomes a build of its own in
the project's queue, and `combining` puts their artifacts in one place. `splitting` has the commands
with which the builds of a fan-out share out a test suite.
"""
