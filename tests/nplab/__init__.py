import pytest

pytest.register_assert_rewrite("tests.nplab.tester", "tests.nplab.flow")
