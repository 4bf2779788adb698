"""The report of a bulk run: its figures over time, and a page that shows them."""
