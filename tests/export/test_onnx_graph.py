"""The graph in the making: what it refuses, and that the file's order is the order of adding."""

from __future__ import annotations

import numpy as np
import pytest

from smsr_export.onnx_graph import OnnxGraph
from smsr_runtime.errors import ExportError

ONE = np.ones(3, np.float32)


def test_a_constant_given_twice_is_one_constant() -> None:
    graph = OnnxGraph()
    assert graph.constant(ONE, "one") is graph.constant(ONE.copy(), "one")


@pytest.mark.parametrize(
    "other",
    [2 * ONE, ONE[:2], ONE[None], ONE.astype(np.float64), ONE.astype(np.int64)],
    ids=["value", "1", "2", "3", "4"],
)
def test_a_constant_given_twice_with_different_values_is_an_error(other: np.ndarray) -> None:
    graph = OnnxGraph()
    graph.constant(ONE, "one")
    with pytest.raises(ExportError, match="one: expected one value for the constant, got a second, different one"):
        graph.constant(other, "one")


def test_initializers_keep_the_order_of_adding_and_nodes_are_named_after_their_output() -> None:
    graph = OnnxGraph()
    x, late, early = graph.input("x", ["N", 3]), graph.constant(2 * ONE, "late"), graph.constant(ONE, "early")
    graph.output(graph.add("Add", [graph.add("Mul", [x, early], "scaled"), late], "y"), ["N", 3])
    proto = graph.exported()
    assert [item.name for item in proto.initializer] == ["late", "early"]
    assert [node.name for node in proto.node] == ["scaled/Mul", "y/Add"]
    assert [value.name for value in [*proto.input, *proto.output, *proto.value_info]] == ["x", "y"]
