"""Sphinx: ``make docs`` builds into docs/_build/html, and takes warnings for errors."""

import re

import sklearn_dlf

project = "sklearn_dlf"
author = "The sklearn_dlf developers"
copyright = "The sklearn_dlf developers, BSD-3-Clause"
release = version = sklearn_dlf.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]
default_role = "literal"
html_theme = "pydata_sphinx_theme"
html_theme_options = {"show_toc_level": 2, "navigation_with_keys": False}
html_sidebars = {"index": []}
html_show_sourcelink = False

myst_heading_anchors = 3

# A class and its own methods stand on one page, by _templates/autosummary/class.rst.
numpydoc_show_class_members = False
autodoc_typehints = "none"

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": "/plot_",
    "ignore_pattern": "demo",
    "within_subsection_order": "ExampleTitleSortKey",
    "capture_repr": (),
    "download_all_examples": False,
}


def unlink(app, what, name, obj, options, lines):
    """Inherited docstrings refer to pages of scikit-learn, which are not here."""
    if (getattr(obj, "__module__", None) or "").startswith("sklearn."):
        lines[:] = [re.sub(r":ref:`([^<`]*?) *(<[^`]*>)?`", r"\1", line) for line in lines]


def setup(app):
    app.connect("autodoc-process-docstring", unlink)
