"""report.html of a bundle: what was measured at its export, on one page without any other file.

exhibits (pictures) and sections (numbers) -> page (templates) -> HTML. Every number stands in manifest.json too.
"""
