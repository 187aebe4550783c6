"""An abstraction that says nothing of some components of the model, to see that something depends on each."""

from __future__ import annotations

from model.language.logic import Value
from model.language.transition import Functions, Keys
from refinement.abstraction import Abstraction
from refinement.engine.storage import SymbolicStorage
from refinement.engine.values import unknown
from refinement.invariants.clause import Layout
from refinement.invariants.state import MonitorState
from refinement.simulation.compare import any_keys
from refinement.simulation.ghost import Quantifiers, SymbolicBeyond
from refinement.simulation.tables import TableSetting

ELSEWHERE = "elsewhere"


class Partial(Abstraction):
    """The component has one value everywhere, before and after: that of some place of an unrelated state."""

    def __init__(
        self, setting: TableSetting, monitor: MonitorState, beyond: SymbolicBeyond, functions: Functions
    ) -> None:
        super().__init__(monitor, beyond, functions)
        layout = Layout(**{name: unknown(f"{ELSEWHERE}.{name}", 40) for name in Layout.__dataclass_fields__})
        view = SymbolicStorage(setting.shapes, ELSEWHERE).snapshot()
        self._elsewhere = Abstraction(
            MonitorState(view, layout, setting.form), SymbolicBeyond(Quantifiers()), functions
        )
        self._left_out = setting.components_left_out

    def read(self, component: str, keys: Keys) -> Value:
        """The value of a component, or the constant."""
        if component in self._left_out:
            return self._elsewhere.read(component, any_keys(component, ELSEWHERE))
        return super().read(component, keys)


def abstraction(
    setting: TableSetting, monitor: MonitorState, beyond: SymbolicBeyond, functions: Functions
) -> Abstraction:
    """What the monitor's state stands for in this setting."""
    if setting.components_left_out:
        return Partial(setting, monitor, beyond, functions)
    return Abstraction(monitor, beyond, functions)
