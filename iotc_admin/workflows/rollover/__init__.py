"""The CA of a group rolled without downtime: the new one beside the old, then the old one out.

    baseline -> prepared -> staged -> verified -> overlapping -> drained -> retired -> closed

Where a roll stands is the journal and a fresh look together, so every step may be cut short and repeated. The
new CA goes into the slot that no device needs; the old one goes only when every device is known to have left
it, and only while the new one is seen to stand there, verified.
"""
