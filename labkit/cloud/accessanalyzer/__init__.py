"""IAM Access Analyzer, of which the lab has the validation of policies alone."""
