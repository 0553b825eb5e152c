"""File name suffixes, in lower case with their dot, by which pictures and videos are recognised."""

from __future__ import annotations

_RASTER = (".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif")
_NEWER = (".avif", ".heic", ".heif", ".hif", ".jxl", ".jp2", ".j2k")
PICTURE_SUFFIXES = frozenset((*_RASTER, *_NEWER, ".pbm", ".pgm", ".ppm", ".pnm"))
MOVING_PICTURES = frozenset((".gif", ".apng"))
"""Pictures that FFmpeg reads as videos."""
_CAMERAS_AND_DISCS = (".mpg", ".mpeg", ".ts", ".m2ts", ".wmv", ".flv", ".3gp")
VIDEO_SUFFIXES = frozenset((".mp4", ".mkv", ".mov", ".m4v", ".avi", ".webm", *_CAMERAS_AND_DISCS))
