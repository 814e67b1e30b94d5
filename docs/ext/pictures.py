"""Pictures: SVG becomes PDF for the printed book, by rsvg-convert."""

import subprocess

from sphinx.transforms.post_transforms.images import ImageConverter


class FromSVG(ImageConverter):
    conversion_rules = [("image/svg+xml", "application/pdf")]

    def is_available(self):
        return True  # without it, `make pdf` does not come so far

    def convert(self, source, target):
        subprocess.run(["rsvg-convert", "-f", "pdf", "-o", target, source],
                       check=True)
        return True


def setup(app):
    app.add_post_transform(FromSVG)
    return {"parallel_read_safe": True}
