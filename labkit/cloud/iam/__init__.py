"""What IAM says to a request: the door asks it once for each, `authorization.authorize`.

`asked` says what a request asks for, `found` and `resources` what it needs to know of the lab's state,
`context` the condition keys; `policies` which policies of the caller's apply, `patterns`, `conditions`,
`principals` and `statements` what one statement matches, and `decision` how they combine.
"""
