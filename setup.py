from pathlib import Path

from setuptools import find_packages, setup

NAME = "ivfusion_ros"
SHARE = f"share/{NAME}"
PYTHONS = range(10, 15)
"""Minor versions that the CI runs `make test-core` on."""
# Without torch and the other large libraries; tests that need one of them are skipped.
CORE_TEST = [
    "pytest>=8",
    "hypothesis>=6.100",
    "pytest-randomly>=3.16",
    "pytest-xdist>=3.6",
    "import-linter>=2.3",
    "onnx>=1.16",
    "mcap>=1.2",
    "mcap-ros2-support>=0.5",
    "mcap-protobuf-support>=0.5",
    "flyr>=5.1",
]

setup(
    name=NAME,
    description="Thermal + RGB fusion and YOLOv5 detection for ROS 2, bags and folders",
    long_description=Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="The ivfusion_ros maintainers",
    maintainer="The ivfusion_ros maintainers",
    maintainer_email="maintainers@users.noreply.github.com",
    license="AGPL-3.0-or-later",
    license_files=["LICENSE"],
    keywords=[
        "thermal",
        "infrared",
        "image fusion",
        "object detection",
        "YOLOv5",
        "ROS 2",
        "rosbag",
        "MCAP",
    ],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in PYTHONS),
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
    packages=find_packages(exclude=["test", "test.*"]),
    package_data={
        NAME: ["py.typed", "__init__.pyi", "report/*.html", "report/*.css", "report/*.js", "backends/*.jpg"]
    },
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (SHARE, ["package.xml"]),
        (f"{SHARE}/models", [str(path) for path in Path("models").iterdir()]),
        (f"{SHARE}/launch", [str(path) for path in Path("launch").glob("*.launch.py")]),
        (f"{SHARE}/config", [str(path) for path in Path("config").glob("*.*")]),
        (f"{SHARE}/config/dds", [str(path) for path in Path("config/dds").glob("*.xml")]),
        (f"{SHARE}/config/calibration", [str(path) for path in Path("config/calibration").glob("*.yaml")]),
        (f"{SHARE}/config/reproduce", [str(path) for path in Path("config/reproduce").glob("*.yaml")]),
        (f"{SHARE}/config/train", [str(path) for path in Path("config/train").glob("*.yaml")]),
        *(
            (f"{SHARE}/config/train/{name}", [str(path) for path in Path("config/train").glob(f"{name}/*")])
            for name in ("ablation", "recipes")
        ),
    ],
    python_requires=">=3.10",
    # Lower bounds are what a ROS Humble robot can have; `constraints.txt` pins what is tested.
    # The headless OpenCV, since a robot or a container often has no libGL.
    install_requires=[
        "numpy>=1.26",
        "opencv-python-headless>=4.8",
        "pyyaml>=6",
        "onnxruntime>=1.17",
        # The readers of damaged bags use what rosbags itself depends on.
        "rosbags>=0.11.9",
        "apsw",
        "lz4",
        "backports.zstd; python_version<'3.14'",
        "tqdm>=4.60",
        "av>=12",
        # It sees that a JPEG is damaged inside.
        "simplejpeg>=1.7",
    ],
    extras_require={
        # Bags in protobuf, as Foxglove's recorders write them; and its server, `--foxglove`.
        "foxglove": ["mcap-protobuf-support>=0.5", "foxglove-sdk>=0.30"],
        # Recordings for Rerun's viewer, which comes with it: 500 MB.
        "rerun": ["rerun-sdk>=0.24"],
        # The temperatures in FLIR's JPEGs.
        "radiometric": ["flyr>=5.1"],
        "openvino": ["openvino>=2024.4"],
        # Pages to look at, `ivfusion replay --html`.
        "report": ["jinja2>=3.1"],
        # The live page, `ivfusion live --web`.
        "web": ["starlette>=0.40", "uvicorn>=0.30", "websockets>=13", "jinja2>=3.1"],
        "eval": ["matplotlib>=3.7", "onnx>=1.16", "pycocotools>=2.0.8"],
        # For a TensorRT that is there (JetPack, or pip install tensorrt); that for RTX GPUs comes with it.
        "tensorrt": ["cuda-bindings>=12.6", "onnx>=1.16"],
        "rtx": ["tensorrt_rtx_cu13>=1.7", "cuda-bindings>=13,<14", "onnx>=1.16"],
        # Names of the stages in NVIDIA's profilers.
        "profile": ["nvtx>=0.2.10"],
        "train": ["torch>=2.6", "safetensors>=0.4", "onnx>=1.16", "onnxscript>=0.3", "tensorboard>=2.14"],
        # For `ivfusion train yolov5n`; by itself, since ultralytics brings a second OpenCV beside torch.
        "train-detector": [
            "ultralytics>=8.3",
            "openvino>=2024.4",
            "safetensors>=0.4",
            "onnx>=1.16",
            "onnxscript>=0.3",
        ],
        # `ivfusion fleet`; s3fs, gcsfs and the like for what is behind a URL.
        "fleet": ["ray>=2.40; python_version<'3.14'", "fsspec>=2024.2", "pyarrow>=15", "duckdb>=1.1"],
        "docs": ["mkdocs-material>=9.5", "mkdocstrings[python]>=0.27"],
        "completion": ["shtab>=1.7"],
        "core-test": CORE_TEST,
        "test": [
            *CORE_TEST,
            "slipcover>=1.1",
            "mypy>=1.10",
            "ruff>=0.6",
            "types-PyYAML",
            "types-tqdm",
            "scikit-image>=0.22",
            "sewar>=0.4.6",
            # The judge of tracks.
            "motmetrics>=1.4",
            "pycocotools>=2.0.8",
            # What ROS 2's Python packages take from the system, which a virtual environment does not see.
            "lark",
            "packaging",
            "psutil",
            "typing_extensions",
            # What ultralytics needs besides torch; see the Makefile.
            "matplotlib",
            "polars",
            "requests",
            # It parses and builds engines without a GPU.
            "tensorrt_rtx_cu13>=1.7; platform_machine=='x86_64' and sys_platform=='linux'",
            "cuda-bindings>=13,<14; platform_machine=='x86_64' and sys_platform=='linux'",
        ],
    },
    entry_points={
        "console_scripts": [
            "ivfusion = ivfusion_ros.cli:main",
            "fusion_node = ivfusion_ros.ros.node:main",
        ]
    },
)
