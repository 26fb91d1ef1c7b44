"""The command line: one module per group of commands. Exit codes: 0 done, 1 failed, 2 usage."""
