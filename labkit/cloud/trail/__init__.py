"""CloudTrail: every call through the door is a record; it is kept, looked up and delivered.

The door hands over each call (`calls.Call`); `records` writes CloudTrail's record of it, with what must
not be read taken out (`shown`), and `journal` keeps it, a line a record. `lookup` reads the journal from
its end, as the event history; a trail (`trails`) has it delivered, on the scaled clock, as far as its
selectors say (`delivery`, `digests`).
"""
