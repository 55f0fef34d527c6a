"""Test reports and code coverage: files that builds leave are read, counted and kept for 30 days.

`formats` reads the files, `models` keeps what was read, `processing` does it within a build.
"""
