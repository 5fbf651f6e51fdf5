"""Rows as users have them: containers, columns, and how a student reads them."""
