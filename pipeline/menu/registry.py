"""The eight stages of a menu job, in the order in which they are shown."""

from pipeline.menu import allergens, category, description, image, image_search, ingredients, price, translation
from pipeline.stages import Stage

MENU_STAGES: tuple[Stage, ...] = (
    translation.STAGE,
    category.STAGE,
    description.STAGE,
    allergens.STAGE,
    ingredients.STAGE,
    image_search.STAGE,
    image.STAGE,
    price.STAGE,
)
