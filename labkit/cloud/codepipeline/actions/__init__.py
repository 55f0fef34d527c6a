"""The actions' providers: each starts work in another service, as the pipeline's role, and waits.

A provider is a function of an `Action`; it returns when the work succeeded and raises
`ActionFailed` when it did not. `providers` has the table of them.
"""
