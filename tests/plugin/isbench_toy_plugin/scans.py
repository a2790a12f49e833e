from isbench import DatasetCard
from isbench.datasets import folder

card = DatasetCard(
    title="Scans of our laboratory",
    licence="CC0",
    read=folder.read,  # or a function of yours: (name, folder) -> Dataset
    folders=("Scans",),
    landmark="masks",  # a folder in it, by which it is recognised
)
