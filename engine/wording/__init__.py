# SPDX-License-Identifier: GPL-3.0-or-later
"""From facts to sentences, and the check of sentences against facts."""
