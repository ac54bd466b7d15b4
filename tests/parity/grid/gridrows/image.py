"""Preprocessing of images and sound: what happens in inference, and augmentation, which does not."""

from gridrows import At, Feed, at, vary

IMAGE = Feed((7, 9, 3), values="image")
UNIT = Feed((7, 9, 3), values="unit")
# augmentation: identity in inference
RANDOM = {
    "RandomFlip": {},
    "RandomRotation": {"factor": 0.2},
    "RandomZoom": {"height_factor": 0.2},
    "RandomTranslation": {"height_factor": 0.1, "width_factor": 0.1},
    "RandomContrast": {"factor": 0.2},
    "RandomBrightness": {"factor": 0.2},
    "RandomColorDegeneration": {"factor": 0.2},
    "RandomColorJitter": {"brightness_factor": 0.2},
    "RandomElasticTransform": {},
    "RandomErasing": {},
    "RandomGaussianBlur": {},
    "RandomGrayscale": {},
    "RandomHue": {"factor": 0.2},
    "RandomInvert": {},
    "RandomPerspective": {},
    "RandomPosterization": {"factor": 4},
    "RandomSaturation": {"factor": 0.3},
    "RandomSharpness": {"factor": 0.2},
    "RandomShear": {"x_factor": 0.2},
    "AugMix": {},
    "CutMix": {},
    "MixUp": {},
    "RandAugment": {},
}
_MEL = {"fft_length": 16, "sequence_length": 16, "sequence_stride": 8, "num_mel_bins": 4}

ROWS = [
    *vary(
        "Rescaling",
        IMAGE,
        {"scale": 1 / 127.5, "offset": -1},
        default={},
        channels={"scale": [0.1, 0.2, 0.3], "offset": [1.0, 0.0, -1.0]},
        bytes=At((Feed((5, 6, 3), "uint8", "image"),), {}),
        integers=At((Feed((4,), "int32", "signed"),), {}),
    ),
    *vary(
        "Resizing",
        IMAGE,
        {"height": 5, "width": 4},
        default={},
        larger={"height": 12, "width": 11},
        nearest={"interpolation": "nearest"},
        nearest_larger={"interpolation": "nearest", "height": 11, "width": 13},
        area={"interpolation": "area"},
        bicubic={"interpolation": "bicubic"},
        lanczos3={"interpolation": "lanczos3"},
        crop={"crop_to_aspect_ratio": True},
        pad={"pad_to_aspect_ratio": True},
        antialias={"antialias": True},
        channels_first={"data_format": "channels_first"},
        bytes=At((Feed((7, 9, 3), "uint8", "image"),), {}),
        dynamic=at(Feed((None, None, 3), values="image")),
    ),
    *vary(
        "CenterCrop",
        IMAGE,
        {"height": 4, "width": 5},
        default={},
        larger={"height": 9, "width": 5},
        channels_first={"data_format": "channels_first", "height": 5, "width": 2},
    ),
    *vary("RandomCrop", IMAGE, {"height": 4, "width": 5}),
    *vary("Solarization", IMAGE, {"value_range": (0, 255)}),
    *vary("AutoContrast", IMAGE, {"value_range": (0, 255)}),
    *vary(
        "ContrastLimitedAdaptiveHistogramEqualization",
        Feed((8, 8, 3), values="image"),
        {"value_range": (0, 255), "tile_grid_size": (2, 2)},
    ),
    *(row for name, arguments in RANDOM.items() for row in vary(name, IMAGE, arguments)),
    *vary("Pipeline", IMAGE, default=lambda x: _pipeline(x)),
    *vary(
        "STFTSpectrogram",
        (64, 1),
        {"frame_length": 16, "frame_step": 8, "fft_length": 16},
        default={},
        mode={"mode": "psd"},
        angle={"mode": "angle"},
    ),
    *vary("MelSpectrogram", (64,), {**_MEL, "sampling_rate": 100, "max_freq": 50}),
]


def _pipeline(x):
    from keras import layers as L

    return L.Pipeline([L.Rescaling(1 / 255), L.CenterCrop(4, 5)])(x)
