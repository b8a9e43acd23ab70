"""What the load tests submit: menus with prices as menus write them, and prompts with test cases."""

import random
from typing import Any

DISHES = (
    ("親子丼", "¥980", "丼物"),
    ("カツ丼", "1,080円", "丼物"),
    ("天丼", "1,280円(税込)", "丼物"),
    ("海鮮丼", "時価", "丼物"),
    ("サーモンアボカド丼", "¥1,180", "丼物"),
    ("鶏の唐揚げ", "680円", "一品料理"),
    ("焼き餃子", "¥480", "一品料理"),
    ("だし巻き卵", "580円", "一品料理"),
    ("揚げ出し豆腐", "¥520", "一品料理"),
    ("枝豆", "380円", "前菜"),
    ("冷奴", "¥350", "前菜"),
    ("ほうれん草のおひたし", "400円", "前菜"),
    ("味噌汁", "¥200", "汁物"),
    ("豚汁", "300円", "汁物"),
    ("刺身盛り合わせ", "時価", "刺身"),
    ("サーモン刺身", "¥880", "刺身"),
    ("醤油ラーメン", "850円", "麺類"),
    ("味噌ラーメン", "¥900", "麺類"),
    ("天ぷらうどん", "980円(税込)", "麺類"),
    ("ざるそば", "¥780", "麺類"),
    ("ビーフカレー", "1,050円", "カレー"),
    ("とんかつ定食", "¥1,350", "定食"),
    ("焼き魚定食", "1,200円", "定食"),
    ("抹茶アイス", "¥420", "デザート"),
    ("わらび餅", "480円", "デザート"),
)
PROMPT = (
    "You are a copy editor for a restaurant. Write {{count}} sentences about {{dish}} for the guests of {{place}}. "
    "Keep each sentence under 20 words and do not mention prices. Answer in {{language}}."
)


def make_menu(size: int, start: int = 0) -> dict[str, Any]:
    """A menu of `size` dishes, always the same ones for the same arguments."""
    dishes = [DISHES[(start + place) % len(DISHES)] for place in range(size)]
    items = [{"name": name, "price": price, "category": category} for name, price, category in dishes]
    return {"kind": "menu", "target_language": "en", "items": items}


def draw_menu() -> dict[str, Any]:
    """A menu such as guests bring: 3 to 25 dishes."""
    return make_menu(random.randint(3, 25), random.randrange(len(DISHES)))


def draw_prompt() -> dict[str, Any]:
    """A prompt with one to three test cases."""
    cases = [
        {
            "name": f"case {number}",
            "variables": {"count": "2", "dish": "oyakodon", "place": "a small izakaya", "language": "English"},
            "assertions": [{"type": "contains", "value": "oyakodon"}],
        }
        for number in range(random.randint(1, 3))
    ]
    return {
        "kind": "prompt",
        "title": f"Menu text {random.randrange(1000)}",
        "content": PROMPT,
        "test_cases": cases,
        "target_language": random.choice(["en", "ja"]),
    }
