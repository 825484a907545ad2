"""Drills: the system as operators run it, with its processes killed and its servers taken away under load.

`python -m tests.faults` prints what became of a thousand writes, for each fault and each broker.
"""
