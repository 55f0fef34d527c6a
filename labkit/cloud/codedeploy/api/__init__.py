"""CodeDeploy's API: what is declared, the checks of it, deployments, on-premises instances."""
