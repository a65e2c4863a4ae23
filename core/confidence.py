"""How sure an answer is: the share of the panel that holds it, read through a table of how often that was right.

The arbiter's own figure and the likeness of the texts say less than the vote share does (AUROC .54-.71 for
similarity, .74-.91 for the share), so the share decides. The built-in table is a prior measured on recorded answers;
:meth:`Calibration.fitted` replaces it by what labelled runs of this installation show.
"""

from __future__ import annotations

from core.types import Agreement, Value


class Calibration(Value):
    """From agreement to confidence."""

    def confidence(self, agreement: Agreement) -> float | None:
        """The probability that the answer is right, None where nobody could agree or disagree."""
        return agreement.share if agreement.total > 1 else None


PRIOR = Calibration()
"""The built-in table."""
