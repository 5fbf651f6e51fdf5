"""Configuration of Sphinx. ``make docs`` builds into docs/_build/html; warnings are errors."""

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
    "sphinx-mathjax-offline",  # equations are shown without a connection too
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]
default_role = "literal"
html_theme = "pydata_sphinx_theme"
html_title = "sklearn_dlf"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "header_links_before_dropdown": 6,
}
# Pages without pages beside them need no column for these.
html_sidebars = {"index": [], "quickstart": []}
html_show_sourcelink = False

myst_heading_anchors = 3

# The template _templates/autosummary/class.rst puts a class and its own methods on one page.
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


def remove_foreign_references(app, what, name, obj, options, lines):
    """Replace references in inherited docstrings to pages of scikit-learn by their text."""
    if (getattr(obj, "__module__", None) or "").startswith("sklearn."):
        lines[:] = [re.sub(r":ref:`([^<`]*?) *(<[^`]*>)?`", r"\1", line) for line in lines]


def setup(app):
    app.connect("autodoc-process-docstring", remove_foreign_references)
