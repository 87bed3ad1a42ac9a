"""The privacy budget in plain words: how much is used, what that means, and the figures."""

from dataclasses import dataclass

from agent.status import BudgetView, rounded_up
from ui.presentation.epsilon_text import epsilon_text
from ui.presentation.locale_formatter import LocaleFormatter


@dataclass(frozen=True)
class BudgetLabels:
    """The budget card of the Overview page, line by line."""

    share: float
    """Used share of the period's budget, 0 to 1."""
    headline: str
    meaning: str
    """What the budget does, in plain words."""
    figures: str
    lifetime: str
    fallback: str
    """The protection that remains if secure aggregation fails."""


def budget_labels(budget: BudgetView, formatter: LocaleFormatter) -> BudgetLabels:
    share = (
        min(1.0, budget.epsilon_ledger / budget.epsilon_period)
        if budget.epsilon_period > 0
        else 1.0
    )
    if budget.may_take_part_at is not None:
        headline = formatter.translate(
            "View", "Used up. This device may take part again on {time}."
        ).format(time=formatter.moment(budget.may_take_part_at))
    elif budget.charges == 0:
        headline = formatter.translate("View", "Nothing has been used yet.")
    else:
        headline = formatter.translate(
            "View", "{percent} % of the budget for {days} days is used."
        ).format(percent=formatter.number(100 * rounded_up(share, 2), 0), days=budget.period_days)
    figures = formatter.translate("View", "ε = {used} of {period}, at δ = {delta}")
    if budget.charges and not budget.verified:
        figures += formatter.translate("View", " (the ledger is verified with the next update)")
    return BudgetLabels(
        share=share,
        headline=headline,
        meaning=_budget_meaning(budget, formatter),
        figures=figures.format(
            used=epsilon_text(budget.epsilon_ledger, formatter),
            period=epsilon_text(budget.epsilon_period, formatter),
            delta=f"1/{formatter.number(int(1 / budget.delta + 1e-6), 0)}",
        ),
        lifetime=formatter.translate(
            "View", "Over this device's whole life: ε = {used} of at most {ceiling}"
        ).format(
            used=epsilon_text(budget.epsilon_lifetime, formatter),
            ceiling=epsilon_text(budget.epsilon_lifetime_ceiling, formatter),
        ),
        fallback=formatter.translate(
            "View",
            "If only your device's own noise protected you: ε = {local}, over its whole life"
            " {lifetime}",
        ).format(
            local=epsilon_text(budget.epsilon_local, formatter),
            lifetime=epsilon_text(budget.epsilon_local_lifetime, formatter),
        ),
    )


def _budget_meaning(budget: BudgetView, formatter: LocaleFormatter) -> str:
    purpose = formatter.translate(
        "View",
        "Every update that is sent uses a part of it. It limits what an update can tell about your"
        " files.",
    )
    if budget.may_take_part_at is not None:
        return formatter.translate(
            "View", "Until then nothing is trained or sent. Nobody but you can raise it."
        )
    if budget.renews_at is None:
        return f"{purpose} " + formatter.translate(
            "View", "When it is used up, this device stops taking part by itself."
        )
    stops = formatter.translate(
        "View", "When it is used up, this device stops taking part by itself, until {time}."
    )
    return f"{purpose} " + stops.format(time=formatter.moment(budget.renews_at))
