"""The layouts that are recognised. Order counts: the first one that sees itself in a folder is taken."""

from __future__ import annotations

from polyrestore.data.layouts.base import Layout
from polyrestore.data.layouts.several import find_cdd, find_clean, find_daclip, find_pairs
from polyrestore.data.layouts.single import find_gopro, find_lol, find_reside
from polyrestore.data.layouts.weather import (
    find_allweather,
    find_outdoor_rain,
    find_rain100,
    find_raindrop,
    find_snow100k,
)

LAYOUTS: dict[str, Layout] = {
    entry.name: entry
    for entry in (
        Layout("daclip", "(train|val)/<degradation>/LQ + GT, ten degradations", find_daclip, levels_up=1),
        Layout("cdd11", "clear + low, haze, rain, snow, low_haze, ... with the same names", find_cdd),
        Layout("allweather", "input + gt; snow, rain and raindrop are told apart by name", find_allweather),
        Layout("raindrop", "data + gt, 0_rain -> 0_clean", find_raindrop),
        Layout("outdoor_rain", "in or data + gt, im_0001_s80_a04 -> im_0001", find_outdoor_rain),
        Layout("rain100", "rainy + gt, rain + norain, or rain-1 -> norain-1 in one folder", find_rain100),
        Layout("snow100k", "synthetic + gt (+ mask)", find_snow100k),
        Layout("reside", "hazy + gt or clear, 0001_0.8_0.2 -> 0001, 1400_1 -> 1400", find_reside),
        Layout("lol", "our485 or eval15 with low + high; Train or Test with Low + Normal", find_lol),
        Layout("gopro", "(train|test)/<scene>/blur + sharp", find_gopro, levels_up=1),
        Layout("pairs", "input + target with the same names; the task has to be given", find_pairs),
        Layout("clean", "photographs in one folder, to be damaged", find_clean),
    )
}
