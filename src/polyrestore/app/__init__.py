"""A web page on this machine that restores photographs, and the JSON interface that it uses itself.

Needs the extra ``app``. Nothing that is uploaded is written to a disk, and no other address is asked for
anything.
"""
