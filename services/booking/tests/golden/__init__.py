"""Golden histories: what each released version of each saga did when it was released, one history a file.

A file tells the data that a saga begins with, and then, for each signal that it hears, what it becomes (`changes` are
those of the data), what it orders (the payload of a command as JSON) and what it writes into its timeline. Time stands
still but for time-outs, and luck is one half.

`unit/test_golden_histories.py` has the definitions in the code hear the same signals again. A definition that answers
in another way has changed, and sagas in flight would go astray: it needs a new version, whose histories

    python -m services.booking.tests.golden

writes. What is there already it never writes again. A folder goes when its definition goes: when no saga runs on it.
"""
