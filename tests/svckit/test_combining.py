"""One servicer out of parts."""

import pytest

from svckit.combining import combined


class Contract:
    def Get(self) -> str:
        raise NotImplementedError

    def Set(self) -> str:
        raise NotImplementedError

    def List(self) -> str:
        raise NotImplementedError


class Getting:
    def __init__(self, value: str) -> None:
        self.value = value

    def Get(self) -> str:
        return self.value

    def drain(self) -> None:
        """Not an RPC."""


class Setting:
    def Set(self) -> str:
        return "set"


def test_each_method_is_answered_by_the_part_that_defines_it():
    servicer = combined(Contract, Getting("a value"), Setting())

    assert servicer.Get() == "a value"
    assert servicer.Set() == "set"
    with pytest.raises(NotImplementedError):
        servicer.List()


def test_two_parts_cannot_define_one_method():
    with pytest.raises(TypeError, match="Get is defined by two parts"):
        combined(Contract, Getting("a"), Getting("b"))


def test_a_part_cannot_define_what_the_contract_does_not_have():
    class Stray:
        def Gte(self) -> None:
            """A typing slip."""

    with pytest.raises(TypeError, match="Gte"):
        combined(Contract, Stray())
