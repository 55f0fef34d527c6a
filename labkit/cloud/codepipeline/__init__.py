"""CodePipeline: a declaration that is checked, and executions that walk through its stages.

`declaration` checks what CreatePipeline is given; `models` holds pipelines and their executions;
`execution` is the state machine, one decision at a time under a pipeline's own lock; `actions` has
one module per provider, each a client of another service with the pipeline's role; `state` shapes
what the read operations return.
"""
