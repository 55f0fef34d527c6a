"""What moto's S3 lacks: objects larger than memory, and checksums that are checked."""
