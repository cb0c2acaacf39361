"""What to do when a CA or a device's certificate is in the wrong hands: contain, replace, release, report.

Removing a certificate cuts nobody off who is connected, and a hub lets a device come back by the thumbprint
it knows: only a block does. So containing comes first, and what was shut opens again only when a person says
so.
"""
