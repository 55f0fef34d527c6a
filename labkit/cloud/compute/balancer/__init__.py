"""The balancer (ELBv2): a listener that is declared in moto is a real HTTP listener on loopback.

`routes` reads moto's load balancers as a plain routing table, `proxy` is the process that answers
requests by such a table and checks the targets' health, `control` runs it and takes its reports to
moto and CloudWatch. Only Application Load Balancers and HTTP: the rest is refused by name.

AWS pages: "What is an Application Load Balancer?"; "Target groups for your Application Load Balancers".
"""
