"""Each size of fleet has a recipe whose head fits the limits of a family."""

from agent.detector.families.family import MAX_DIMENSION
from server_stub.training.recipe import LARGE_FLEET, SMALL_FLEET, TINY_FLEET, recipe_for


def test_fleets_get_the_recipe_of_their_size():
    assert recipe_for(1000) is LARGE_FLEET
    assert recipe_for(100) is SMALL_FLEET
    assert recipe_for(20) is TINY_FLEET
    for recipe in (LARGE_FLEET, SMALL_FLEET, TINY_FLEET):
        assert recipe.base.laplacian + recipe.base.gaussian + 1 == 1024 <= MAX_DIMENSION
        assert recipe.base.has_network == bool(recipe.base.gaussian)
