"""Videos: frames through the network, sound and subtitles copied as they are.

Kept: every frame's own time (also at variable frame rates), colour matrix, range, primaries and transfer, more
than 8 bits, 4:4:4 chroma, sample aspect ratio, metadata. A rotation is applied to the pixels.
"""
