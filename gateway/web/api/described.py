"""Models by name: a route names what it takes and gives, and only who asks for the description loads it.

The models are for OpenAPI and the tests; nothing is answered through them. Making them is a tenth of a start.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import BaseModel


@dataclass(frozen=True, slots=True)
class Named:
    """One model of a module."""

    module: str
    name: str

    def load(self) -> type[BaseModel]:
        """Return the model. Raises AttributeError where there is none of this name."""
        found: type[BaseModel] = getattr(import_module(self.module), self.name)
        return found


class Models:
    """The models of a module: `m.Case` names its `Case`."""

    def __init__(self, module: str) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Named:
        return Named(self._module, name)
