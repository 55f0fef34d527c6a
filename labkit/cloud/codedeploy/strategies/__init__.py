"""How a deployment goes about it: servers, blue/green, containers, functions, and their traffic."""
