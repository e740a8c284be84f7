"""The report: figures of each experiment, and one page that shows, compares and explains all of them.

Nothing is imported here, so that an edit of the page is no edit of the figures.
"""
