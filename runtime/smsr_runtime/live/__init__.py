"""Cameras and streams: the newest frame goes through the network, older ones are dropped, and latency is measured."""
