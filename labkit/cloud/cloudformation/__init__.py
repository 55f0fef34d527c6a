"""CloudFormation: stacks of the resources that the lab has."""
