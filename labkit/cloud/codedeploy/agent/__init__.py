"""What the CodeDeploy agent does on a host: appspec, bundle, install, hooks, permissions, log."""
