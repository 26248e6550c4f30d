"""Many designs at once: an experiment file, its grid of runs, the work on them, and one table of results.

`experiment` reads the file, `cells` makes the grid, `folder` remembers what became of each cell, `work` and `pool` run
them in one process or several, `table` makes `results` of them, and `page` draws these as HTML.
"""
