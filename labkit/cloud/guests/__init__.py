"""Guests: what runs in the lab that is not the lab's: builds, hosts, functions and tasks.

`places` says where each lives, `processes` starts it and finds it again (R6), `watchdog` ends it when
nobody else can; `isolation` says what a guest sees of this machine, `roots` what a host has as its
root file system; `languages` finds the language runtimes they use, and `environments` runs
functions' handlers.
"""
