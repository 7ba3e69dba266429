"""The report of a test: one HTML file that shows what happened, what was promised, and what was kept.

render.py     render(history, results, out), and the command line
history.py    reads history.jsonl: columns of operations, faults, links, samples; tolerates damage and says so
staleness.py  how old each read really was, beside what it promised
words.py      the verdict as a paragraph
pack.py       columns to a small string for the page
page/         the page itself: HTML, CSS and plain JavaScript, put together by render.py
serve.py      a local web server over a directory of runs
sample.py     made-up histories, for tests and for work on the page
"""
