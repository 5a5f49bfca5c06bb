"""Figures, tables and provenance boxes: what a reader of the book sees."""
