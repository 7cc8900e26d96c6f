"""`bin/benchmark`: how fast the connector is, what it costs, and how other readers do beside it.

All readers ask the same sandbox, each in a process of its own and one after another.

| to find | look in |
|---|---|
| how much is read in a whole and in a quick run | `scale.py` |
| what is measured | `measures/` |
| the readers and their settings | `readers/` |
| the sandbox and the processes | `instance.py`, `process.py` |
| how a figure is computed | `figures.py` |
| what the connector shall reach | `goals.py` |
| tables, JSON and plot | `report.py`, `result.py`, `plot.py` |
"""
