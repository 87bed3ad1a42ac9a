"""Holds a cycle to the reasons not to train or send, asked afresh each time."""

from collections.abc import Callable

from agent.reasons import Reason


class Restrictions:
    """Asks settings and conditions; "Train once now" sets a person's own limits aside.

    Only reasons marked overridable can be set aside: never consent, policy or the budget.
    """

    def __init__(
        self,
        training: Callable[[], tuple[Reason, ...]],
        sending: Callable[[], tuple[Reason, ...]],
    ) -> None:
        """`training` and `sending` give the reasons against each, in order; none means go."""
        self._training = training
        self._sending = sending
        self.is_overridden = False

    def on_training(self) -> tuple[Reason, ...]:
        """Return the reasons that count against training now."""
        return self._counting(self._training())

    def on_sending(self) -> tuple[Reason, ...]:
        """Return the reasons that count against sending now."""
        return self._counting(self._sending())

    def _counting(self, reasons: tuple[Reason, ...]) -> tuple[Reason, ...]:
        if not self.is_overridden:
            return reasons
        return tuple(reason for reason in reasons if not reason.overridable)
