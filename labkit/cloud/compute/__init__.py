"""What releases are deployed to: hosts, so far. A host is a directory and the processes on it."""
