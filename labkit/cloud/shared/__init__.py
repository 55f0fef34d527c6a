"""What our services share: the running lab, the base of a service, clients that act as a role (R4).

`runtime` is the one running lab: its state directory, endpoint and scaled `clock` (R5). `service` is
what each of our services is built on, `identity` who signs, `deliveries` what webhooks are sent.
`clients`, `git` and `archives` are how they reach others; `models` keeps AWS's models.
"""
