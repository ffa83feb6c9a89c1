"""Commands that have other releases answer a part of the users: canaries, A/B tests, shadows, outcome events.

In: the options of a command. Out: what it did or found, as text or JSON, and its exit code. Start with `canary`.
"""
