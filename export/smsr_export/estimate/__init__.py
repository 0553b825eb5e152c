"""What a network would save on the user's own pictures or clips: active shares, MACs, speed-up over a dense network."""

SAMPLES = 8
"""How many pictures or frames are measured unless --samples says otherwise."""
MOST_SAMPLES = 64
"""They are in memory together."""
