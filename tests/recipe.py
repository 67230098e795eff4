# SPDX-License-Identifier: MIT
"""Parses a recipe with BitBake's own parser and prints variables of it as JSON: LAYER RECIPE VARIABLE...

The classes that a recipe inherits are OE-core's and not here: empty ones stand for them, so that what is
checked is our files alone.
"""

from __future__ import annotations

import json
import sys
import tempfile
import types
from pathlib import Path
from typing import Any


def parse(layer: Path, recipe: Path, names: list[str]) -> dict[str, Any]:
    """Variables of a recipe. Raises what BitBake raises for a mistake in layer.conf or the recipe."""
    # BitBake's client for a server of build results: not packaged, and not needed to parse.
    for name in ("hashserv", "hashserv.client"):
        module = types.ModuleType(name)
        module.__path__ = []
        sys.modules[name] = module
    import bb.data
    import bb.data_smart
    import bb.event
    import bb.parse
    import bb.siggen

    with tempfile.TemporaryDirectory() as scratch:
        classes = Path(scratch) / "classes-recipe"
        classes.mkdir()
        for name in ("module", "deploy"):
            (classes / f"{name}.bbclass").touch()
        data = bb.data_smart.DataSmart()
        settings = {"BBPATH": scratch, "LAYERDIR": str(layer), "BBFILES": "", "BBFILE_COLLECTIONS": "",
                    "BB_SIGNATURE_HANDLER": "noop", "WORKDIR": "/build", "PN": recipe.name.partition("_")[0],
                    "__bbclasstype": "recipe"}  # fmt: skip
        for name, value in settings.items():
            data.setVar(name, value)
        data = bb.parse.handle(str(layer / "conf" / "layer.conf"), data, True)
        bb.parse.siggen = bb.siggen.init(data)
        parsed = bb.parse.handle(str(recipe), data)
        variables = parsed[""]
        return {name: variables.getVar(name) for name in names}


if __name__ == "__main__":
    print(json.dumps(parse(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])))
