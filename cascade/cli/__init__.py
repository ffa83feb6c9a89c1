"""The ``cascade`` command.

In: the command line. Out: text or JSON on the terminal, and an exit code. Start with `main`.
"""
