"""The command line: parse, call, show. Heavy imports happen inside the commands."""
