"""Pictures and videos: decoding, encoding, colours, spatial masks as pictures."""
