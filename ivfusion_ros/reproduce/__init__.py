"""Making the tables of papers again: what they print beside what comes out here."""

from ivfusion_ros.faces import later

__getattr__, __all__ = later(
    __name__,
    {
        "job": ("Given", "Job", "Networks", "Outcome"),
        "kinds": ("make_table",),
        "page": ("html_page", "markdown_page"),
        "paper": ("Paper", "Table", "read_paper"),
    },
)
