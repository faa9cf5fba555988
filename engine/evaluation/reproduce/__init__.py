# SPDX-License-Identifier: GPL-3.0-or-later
"""``changescribe reproduce``: the tables of the papers, with the project's figures beside them.

One YAML file per paper holds its tables as published; :mod:`.tables` reads them, :mod:`.rows`
trains and measures what a row stands for, :mod:`.printing` writes the table.
"""
