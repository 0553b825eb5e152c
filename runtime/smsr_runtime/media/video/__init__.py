"""Videos: frames through the network, sound and subtitles copied as they are.

Kept: every frame's own time (also at variable frame rates), colour matrix, range, primaries, transfer and where chroma
lies, depth, chroma, transparency, HDR10 data, sample aspect ratio, tags, chapters, marks of streams, attached fonts; a
note names what the result's container or encoder does not hold. A rotation is applied to the pixels, interlaced video
is deinterlaced, the result begins at 0 seconds. What of a damaged source can be decoded is kept, the rest counted.
"""
