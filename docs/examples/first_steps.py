# SPDX-License-Identifier: GPL-3.0-or-later
# %% [markdown]
# # First steps in Python
# Two rasters and a prompt become change polygons with captions. The pair here is the demo pair of
# the plugin: the edge of a town in 2016 and 2023. Run the cells in an editor that knows `# %%`
# (VS Code, Spyder, PyCharm; Jupyter with jupytext), or the whole file with `python`.

# %%
from pathlib import Path

import changescribe.engine as cs

demo = Path(cs.__file__).parents[1] / "resources" / "demo"
before, after = demo / "demo_2016-05-04.tif", demo / "demo_2023-06-21.tif"

# %% [markdown]
# ## Find changes
# Without an output path, the files go to a temporary folder that is deleted when Python ends.

# %%
result = cs.detect(before, after, "buildings built")
result

# %% [markdown]
# The largest changes come with the result; all of them are in the GeoPackage, and each pixel's
# score is in the score raster.

# %%
for region in result.regions[:3]:
    print(f"{region.change_id}: {region.caption} Score {region.score:.2f}.")
print(result.paths["gpkg"])

# %% [markdown]
# With geopandas installed, `result.to_geodataframe()` gives the polygons as a table:
#
#     frame = result.to_geodataframe()
#     frame[frame.area_m2 > 200].plot()

# %% [markdown]
# ## Part of the area, several questions, a stricter threshold
# The options are the fields of `cs.ChangeRequest`. An extent is in the CRS of the first raster
# unless it names another.

# %%
north = (628_400, 3_382_344, 628_912, 3_382_600)
part = cs.detect(before, after, "roads built and trees cleared", extent=north, threshold=0.6)
for query in part.counts:
    print(f"{query.object} {query.direction}: {query.count} ({query.area_m2:.0f} m²)")

# %% [markdown]
# ## Describe a pair
# Without a prompt: what changed in these boxes, given in pixels of the first raster?

# %%
captions = cs.describe(before, after, boxes=[(0, 0, 400, 400), (600, 100, 900, 400)])
for described in captions:
    print(described.box, described.caption)

# %% [markdown]
# ## Export
# The ending of the name is the format: `.shp`, `.geojson` or `.gpkg`.

# %%
geojson = result.paths["gpkg"].with_name("buildings.geojson")
for warning in cs.export(result, geojson, min_score=0.7):
    print(warning)

# %% [markdown]
# ## Systems
# Other change-detection systems need PyTorch and their weights; `system="lgcd"` chooses one.

# %%
for system in cs.systems():
    print(system.name, "-", "usable" if system.usable else f"lacks {'; '.join(system.lacks)}")

# %% [markdown]
# ## Errors
# Whatever a user can put right is a `cs.ChangeScribeError` with a message and a hint.

# %%
try:
    cs.detect(before, after, "buildings built", extent=(0, 0, 10, 10))
except cs.ChangeScribeError as error:
    print(error.message, error.hint)
