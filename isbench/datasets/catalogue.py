"""The named data sets: folder, reader, download, licence, counts and fingerprints of each.

Counts and fingerprints come from files that were read for isbench; other data sets have neither.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from isbench.datasets import davis585, folder, pairs, sbd, tetris, voc
from isbench.types import Dataset, File


@dataclass(frozen=True)
class DatasetCard:
    """A named data set: how to find, read and get it, and facts about it.

    A package adds one by an entry point of the group `isbench.datasets`, whose name is the name of
    the data set. It is found in the data folder like a built-in one.
    """

    title: str
    licence: str
    read: Callable[[str, Path], Dataset]  # (name, folder) -> data set of this name
    folders: tuple[str, ...] = ()  # under the data folder; the first that exists is used
    landmark: str = ""  # a folder inside it that identifies the layout
    bundled: Path | None = None  # the folder of a data set that comes with its package
    archive: File | None = None
    page: str = ""  # where its authors keep it, if it has no archive: it is downloaded by hand
    zoom_target: int = 400  # longer side of a zoomed-in crop, in pixels [RITM]
    zoom_square: int = 448  # side of a crop that is always a square, in pixels [SimpleClick]
    view_size: int = 384  # shorter side of a view as its network sees it, in pixels [FocusCut]
    longest_side: int = 0  # longer side of an image as networks see it, in pixels; 0: original size
    images: int | None = None
    objects: int | None = None
    fingerprints: Mapping[str, str] = field(default_factory=dict)  # sha256 -> origin


# The 20 classes of PASCAL VOC by their COCO names: the "seen" classes of COCO_MVal.
_SEEN = (
    "airplane, bicycle, bird, boat, bottle, bus, car, cat, chair, cow, dining table, dog, horse, "
    "motorcycle, person, potted plant, sheep, couch, train, tv"
)
VOC_CLASSES = frozenset(_SEEN.split(", "))

_GRABCUT = pairs.Layout("data_GT", "boundary_GT", pairs.split_trimap)
_BERKELEY = pairs.Layout(
    "images", "masks", pairs.split_trimap, r"(?P<image>\d+)(?P<object>[a-z]?)", "NUMBER or NUMBERa"
)
_DAVIS = pairs.Layout("img", "gt", pairs.threshold_mask)
_MVAL = pairs.Layout(
    "img", "gt", pairs.threshold_mask, r"(?P<object>.+\d\d)_(?P<image>\d+)", "CLASSnn_IMAGEID"
)
_THIN = "thin_object_detection"
_HQSEG = tuple(
    pairs.Layout(images, masks, pairs.threshold_mask, part=part)
    for part, images, masks in (
        ("DIS5K-VD", "DIS5K/DIS-VD/im", "DIS5K/DIS-VD/gt"),
        (
            "ThinObject5K-TE",
            f"{_THIN}/ThinObject5K/images_test",
            f"{_THIN}/ThinObject5K/masks_test",
        ),
        ("COIFT", f"{_THIN}/COIFT/images", f"{_THIN}/COIFT/masks"),
        ("HRSOD", f"{_THIN}/HRSOD/images", f"{_THIN}/HRSOD/masks_max255"),
    )
)


def _is_seen(object_name: str) -> bool:
    return object_name[:-2] in VOC_CLASSES


def _is_unseen(object_name: str) -> bool:
    return not _is_seen(object_name)


def _drive(key: str) -> str:
    """Return the address of a file on Google Drive."""
    return f"https://drive.usercontent.google.com/download?id={key}&export=download&confirm=t"


def _release(file: str, drive: str) -> File:
    """Return an archive of f-BRS release v1.0 with its mirror and the copy linked by RClicks."""
    path = f"fbrs_interactive_segmentation/releases/download/v1.0/{file}"
    return File(
        file,
        (
            f"https://github.com/SamsungLabs/{path}",
            f"https://github.com/saic-vul/{path}",
            _drive(drive),
        ),
    )


_MVAL_CARD = partial(
    DatasetCard,
    licence="annotations CC BY 4.0, images under their Flickr licences",
    folders=("COCO_MVal",),
    landmark="img",
    archive=_release("COCO_MVal.zip", "1oz1VT8YqykQFfx_Vtp_wtYFGz5mYBOnp"),
)
_SBD_CARD = partial(
    DatasetCard,
    licence="non-commercial research; images under their Flickr licences",
    folders=("SBD", "benchmark_RELEASE/dataset"),
    landmark="inst",
    archive=File(
        "benchmark.tgz",
        (
            "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/"
            "semantic_contours/benchmark.tgz",
        ),
        sha256="6a5a2918d5c73ce032fdeba876574d150d9d04113ab87540a1304cbcc715be53",
    ),
)
_DAVIS585_CARD = partial(
    DatasetCard,
    licence="frames non-commercial research; not stated for the masks",
    folders=("DAVIS585",),
    landmark="bike-packing",
    page="https://drive.google.com/drive/folders/1XzUlpPqbzAyMt009HVpEeW31ln1FeXfX",
)

CATALOGUE: Mapping[str, DatasetCard] = {
    "grabcut": DatasetCard(
        title="GrabCut (Rother et al. 2004)",
        licence="research use",
        folders=("GrabCut",),
        landmark="data_GT",
        read=partial(pairs.read, layout=_GRABCUT),
        archive=_release("GrabCut.zip", "1tU17eJaevYd5PQAwzEK6oG1N9eBJORC4"),
        images=50,
        objects=50,
        fingerprints={
            "c88e3a1cd8c6f641d6cf22c1e51028883e5197a84c8cba2b40bee5d39f9b8006": (
                "the files of isbench's golden games"
            )
        },
    ),
    "berkeley": DatasetCard(
        title="Berkeley (McGuinness and O'Connor 2010)",
        licence="non-commercial research",
        folders=("Berkeley",),
        landmark="masks",
        read=partial(pairs.read, layout=_BERKELEY),
        archive=_release("Berkeley.zip", "1yStolKW8AnS5rYm3VhgnID_XReNCXbEJ"),
        images=96,
        objects=100,
        fingerprints={
            "86e074f8a44ae47eb0b31691fc045d263f506b7558d3ea0d54b438a6f6fcd84a": (
                "the files of isbench's golden games; images recreated from BSDS500"
            )
        },
    ),
    "davis": DatasetCard(
        title="DAVIS, 345 frames (Perazzi et al. 2016)",
        licence="non-commercial research",
        folders=("DAVIS", "DAVIS345"),
        landmark="gt",
        read=partial(pairs.read, layout=_DAVIS),
        archive=_release("DAVIS.zip", "1DhwMOqbwH4tcIrVfqtSczdofjdHHnMCJ"),
        zoom_target=600,
        zoom_square=672,
        view_size=512,
        images=345,
        objects=345,
        fingerprints={
            "9038ea2430649d59fcc5064b409175b4d09b19e15905f8608030007f5906db86": (
                "the files of isbench's golden games"
            )
        },
    ),
    "coco-mval": _MVAL_CARD(
        title="COCO_MVal (Sofiiuk et al. 2020)",
        read=partial(pairs.read, layout=_MVAL),
        images=722,
        objects=800,
        fingerprints={
            "31405150872d5d0a0b5b8044835b3e6ee7641243afeaca64e34edb92c2b06f95": "the official files"
        },
    ),
    "coco-mval-seen": _MVAL_CARD(
        title="COCO_MVal, the 20 PASCAL VOC classes",
        read=partial(pairs.read, layout=_MVAL, keep=_is_seen),
        images=190,
        objects=200,
        fingerprints={
            "03d617ec04d2298988d3000d4c08cd2b86c6c43e3c195d57e26c82602ddeb42a": "the official files"
        },
    ),
    "coco-mval-unseen": _MVAL_CARD(
        title="COCO_MVal, the 60 other classes",
        read=partial(pairs.read, layout=_MVAL, keep=_is_unseen),
        images=545,
        objects=600,
        fingerprints={
            "468d6672314218e164c8a892e577411c0b595efc9f2f7da40e038f1504da2b2a": "the official files"
        },
    ),
    "sbd": _SBD_CARD(title="SBD val (Hariharan et al. 2011)", read=partial(sbd.read, split="val")),
    "sbd-train": _SBD_CARD(
        title="SBD train (Hariharan et al. 2011)", read=partial(sbd.read, split="train")
    ),
    "voc-val": DatasetCard(
        title="PASCAL VOC 2012 segmentation val (Everingham et al.)",
        licence="images under their Flickr licences",
        folders=("VOC2012", "VOCdevkit/VOC2012"),
        landmark="SegmentationObject",
        read=partial(voc.read, split="val"),
        archive=File(
            "VOCtrainval_11-May-2012.tar",
            ("http://host.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",),
            sha256="e14f763270cf193d0b5f74b169f44157a4b0c6efa708f4dd0ff78ee691763bcb",
            size=1_999_639_040,
        ),
    ),
    "hqseg44k": DatasetCard(
        title="HQSeg-44K val: DIS5K-VD, ThinObject5K test, COIFT, HRSOD (Ke et al. 2023)",
        licence="each part under its own terms",
        folders=("HQSeg44K",),
        landmark=_THIN,
        read=partial(pairs.read_parts, layouts=_HQSEG),
        page="https://huggingface.co/sam-hq-team/sam-hq-training/tree/main/data",
        longest_side=1024,
    ),
    "davis585-init": _DAVIS585_CARD(
        title="DAVIS-585 from masks perturbed along superpixels (Chen et al. 2022)",
        read=partial(davis585.read, start="sp"),
    ),
    "davis585-stm": _DAVIS585_CARD(
        title="DAVIS-585 from masks of the video model STM (Chen et al. 2022)",
        read=partial(davis585.read, start="stm"),
    ),
    "davis585-zero": _DAVIS585_CARD(
        title="DAVIS-585 without initial masks (Chen et al. 2022)", read=davis585.read
    ),
    "tetris": DatasetCard(
        title="TETRIS, at most 2048 pixels long (Moskalenko et al. 2024)",
        licence="not stated where it is linked",
        folders=("TETRIS",),
        landmark="masks",
        read=tetris.read,
        archive=File("TETRIS.zip", (_drive("1iJgohY1XBSnY-kRUoaRZJlu0HZbyHcyK"),)),
    ),
}

_SAMPLE = Path(__file__).parent / "sample"
# The data set that comes with the package, in the layout of user folders.
SAMPLE = DatasetCard(
    title="Sample photographs of scikit-image with masks drawn for isbench",
    licence="photographs public domain or CC0, masks CC0",
    read=folder.read,
    bundled=_SAMPLE,
    images=7,
    objects=16,
    fingerprints={
        "3851621276811b8295366ea788be544e78b9264a3b3c4ce05083738aec939a8f": (
            "the files of isbench 0.1"
        )
    },
)


def list_sample_images() -> list[Path]:
    """Return the image files of the bundled sample, sorted by name."""
    return sorted((_SAMPLE / "images").iterdir())
