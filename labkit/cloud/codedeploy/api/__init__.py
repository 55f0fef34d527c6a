"""CodeDeploy's API: what is declared, and the checks of it."""
