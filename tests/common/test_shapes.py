import pytest
import torch

from soundguide_core.common.errors import InputError, check_number
from soundguide_core.common.shapes import check_shape


def test_letters_bind_and_numbers_match():
    assert check_shape(torch.zeros(2, 3, 5, 7), "B 3 H W") == {"B": 2, "H": 5, "W": 7}
    assert check_shape(torch.zeros(4, 4), "N N") == {"N": 4}


@pytest.mark.parametrize(
    "shape, spec", [((2, 4, 5, 7), "B 3 H W"), ((3, 5, 7), "B 3 H W"), ((4, 5), "N N"), ((0, 3), "B D")]
)
def test_message_says_who_expected_and_got(shape, spec):
    with pytest.raises(InputError) as error:
        check_shape(torch.zeros(shape), spec, name="the source")
    assert "The source" in error.value.cause and str(list(shape)) in error.value.cause and spec in error.value.remedy


def test_not_a_tensor():
    with pytest.raises(InputError, match="list"):
        check_shape([1, 2], "N")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1, 2, "1", True, None])
def test_numbers_out_of_bounds(value):
    with pytest.raises(InputError, match="steps is .* at least 0 and at most 1"):
        check_number(value, "steps", low=0, high=1)


def test_numbers_within_bounds():
    check_number(0, "x", low=0, high=1)
    check_number(1.0, "x", low=0, high=1)
    check_number(-1e9, "x")


def test_str_is_cause_and_remedy():
    error = InputError("It is so.", "Do this.")
    assert (str(error), error.cause, error.remedy) == ("It is so. Do this.", "It is so.", "Do this.")
