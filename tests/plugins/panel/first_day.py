"""A report panel from another package: what was decided on the first day."""

from varve.api import PanelInput


class FirstDay:
    """The first day of the run in one line."""

    title = "First day <of all>"
    place = 35

    def html(self, shown: PanelInput) -> str:
        step = shown.steps[0]
        return f"{step.session}: <{step.decision.rationale[:40]}>"
